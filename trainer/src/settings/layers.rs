//! Layers of settings: preset, then file, then `--set`, each on top of the one before.
//!
//! A [`RawConfig`] is text that has not been understood yet: a TOML table. [`RawConfig::resolve`] is the
//! one step that turns it into a typed and checked [`RunConfig`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::{SettingsError, nearest};
use super::explain::{explain, lists, names};
use super::places::{Entry, places};
use super::sections::{RunConfig, SECTIONS, StreamSection};

/// Settings as layered tables, not yet typed or checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawConfig {
    table: Table,
    /// What was put on top of one another; for messages.
    layers: Vec<Layer>,
    /// Which layer each plain value comes from, by its full name.
    origins: BTreeMap<String, usize>,
}

/// A preset, a file or a flag.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    name: String,
    /// Where its settings stand; only of a text that its writer can look at.
    places: BTreeMap<String, Entry>,
}

impl Layer {
    fn new(name: String) -> Self {
        Self { name, places: BTreeMap::new() }
    }

    /// Its name, with the place of what `error` is about or else of what is around it.
    fn at(&self, key: &str, error: &SettingsError) -> String {
        let mut around = std::iter::successors(Some(key), |name| Some(name.rsplit_once('.')?.0));
        let found = around.find_map(|name| self.places.get(name));
        match (found, error) {
            (None, _) => self.name.clone(),
            (Some(entry), SettingsError::UnknownKey { .. }) => {
                format!("{}:{}", self.name, entry.key)
            }
            (Some(entry), _) => format!("{}:{}", self.name, entry.value),
        }
    }
}

impl RawConfig {
    /// Settings from a table, such as those that a run was started with.
    pub fn from_table(table: Table) -> Self {
        Self { table, ..Self::default() }
    }

    /// The settings of a preset.
    ///
    /// # Errors
    /// If there is none of that name; the error names the nearest.
    pub fn preset(name: &str) -> Result<Self, SettingsError> {
        let text = super::presets::text(name)?;
        Self::default().with_layer(text, Layer::new(format!("preset {name}")))
    }

    /// Puts the settings of a TOML text on top. `origin` names it in errors, which also say the place in it.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn with_text(self, text: &str, origin: &str) -> Result<Self, SettingsError> {
        self.with_layer(text, Layer { name: origin.to_owned(), places: places(text) })
    }

    fn with_layer(mut self, text: &str, layer: Layer) -> Result<Self, SettingsError> {
        let table: Table =
            text.parse().map_err(|error| SettingsError::not_toml(&layer.name, text, &error))?;
        let number = self.layers.len();
        for list in lists(&table) {
            // It takes the place of the one below as a whole.
            let below = format!("{list}.");
            self.origins.retain(|name, _| !name.starts_with(&below));
        }
        self.origins.extend(names(&table).into_iter().map(|name| (name, number)));
        self.layers.push(layer);
        merge(&mut self.table, table);
        Ok(self)
    }

    /// Puts the settings of a TOML file on top.
    ///
    /// # Errors
    /// If it cannot be read or is not TOML.
    pub fn with_file(self, path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Io { path: path.to_owned(), source })?;
        self.with_text(&text, &path.display().to_string())
    }

    /// Puts one `section.key=value` on top. The value is read as TOML, and as plain text where it is not
    /// TOML, so that names need no quotes. Numbers in the path choose an entry of a list, as in
    /// `augment.views.0.count=4`.
    ///
    /// # Errors
    /// If there is no `=`, no section, or the path leads through something that is not a table.
    pub fn with_set(self, text: &str) -> Result<Self, SettingsError> {
        self.with_flag(SET, text)
    }

    /// Puts several on top, in their order, but that of a `kind` before others of its table: another kind replaces the table,
    /// and what else was set in it is meant for the new one.
    ///
    /// # Errors
    /// As [`RawConfig::with_set`].
    pub fn with_sets(self, texts: &[String]) -> Result<Self, SettingsError> {
        let mut ordered: Vec<&String> = Vec::new();
        for text in texts {
            let key = text.split_once('=').map_or("", |(key, _)| key.trim());
            let table = key.strip_suffix(KIND).filter(|table| table.ends_with('.'));
            let of_table =
                |table: &str| ordered.iter().position(|set| set.trim().starts_with(table));
            let at = table.and_then(of_table).unwrap_or(ordered.len());
            ordered.insert(at, text);
        }
        ordered.into_iter().try_fold(self, |raw, text| raw.with_set(text))
    }

    /// As [`RawConfig::with_set`], for a flag that stands for a setting.
    ///
    /// # Errors
    /// As [`RawConfig::with_set`].
    pub fn with_flag(mut self, flag: &str, text: &str) -> Result<Self, SettingsError> {
        let wrong = |problem: &str| SettingsError::Set {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let (path, value) =
            text.split_once('=').ok_or_else(|| wrong("expected section.key=value"))?;
        let value = typed(value.trim());
        let keys: Vec<&str> = path.trim().split('.').collect();
        self.origins.insert(path.trim().to_owned(), self.layers.len());
        self.layers.push(Layer::new(flag.to_owned()));
        let [section, middle @ .., last] = keys.as_slice() else {
            return Err(wrong("expected section.key=value, with a section"));
        };
        let mut place =
            self.table.entry((*section).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        for key in middle {
            place = match place {
                Value::Table(table) => {
                    table.entry((*key).to_owned()).or_insert_with(|| Value::Table(Table::new()))
                }
                Value::Array(list) => key
                    .parse()
                    .ok()
                    .and_then(|index: usize| list.get_mut(index))
                    .ok_or_else(|| wrong(&format!("`{key}` is no entry of the list")))?,
                _ => return Err(wrong(&format!("`{key}` stands below a plain value"))),
            };
        }
        match place {
            Value::Table(table) => {
                if *last == KIND && table.get(KIND) != Some(&value) {
                    table.clear();
                }
                table.insert((*last).to_owned(), value);
            }
            Value::Array(list) => {
                let entry = last.parse().ok().and_then(|index: usize| list.get_mut(index));
                *entry.ok_or_else(|| wrong(&format!("`{last}` is no entry of the list")))? = value;
            }
            _ => return Err(wrong(&format!("`{last}` stands below a plain value"))),
        }
        Ok(self)
    }

    /// Types and checks the settings.
    ///
    /// # Errors
    /// If a section or key is unknown (the nearest is named), a value has the wrong type, or a value is out
    /// of range.
    pub fn resolve(&self) -> Result<RunConfig, SettingsError> {
        let mut wrong = Vec::new();
        for name in self.table.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            wrong.push(self.located(SettingsError::UnknownKey {
                key: name.clone(),
                nearest: nearest(name, SECTIONS.iter().copied()).map(str::to_owned),
            }));
        }
        // Every section is looked at before any is refused, so that all slips are seen at once.
        let run = self.section("run").map_err(|error| wrong.push(error));
        let data = self.section("data").map_err(|error| wrong.push(error));
        let stream = self.section("stream").map_err(|error| wrong.push(error));
        let augment = self.section("augment").map_err(|error| wrong.push(error));
        let model = self.section("model").map_err(|error| wrong.push(error));
        let optimizer = self.section("optimizer").map_err(|error| wrong.push(error));
        let schedule = self.section("schedule").map_err(|error| wrong.push(error));
        let reset = self.section("reset").map_err(|error| wrong.push(error));
        let eval = self.section("eval").map_err(|error| wrong.push(error));
        let all = move || -> Result<RunConfig, ()> {
            Ok(RunConfig {
                run: run?,
                data: data?,
                stream: stream?,
                augment: augment?,
                model: model?,
                optimizer: optimizer?,
                schedule: schedule?,
                reset: reset?,
                eval: eval?,
            })
        };
        match (all(), wrong.len()) {
            (Ok(config), 0) => {
                config.validate().map_err(|error| self.located(error))?;
                self.check_looked_at(&config).map_err(|error| self.located(error))?;
                Ok(config)
            }
            (_, 1) => Err(wrong.remove(0)),
            _ => Err(SettingsError::Several { errors: wrong }),
        }
    }

    /// Refuses a `--set` that the network does not look at. In presets and files such settings stand for other networks.
    fn check_looked_at(&self, config: &RunConfig) -> Result<(), SettingsError> {
        let encoder = &config.model.encoder;
        let ignored = match encoder.patch_size() {
            None => vec![
                ("patch", encoder.patch.to_string()),
                ("image_size", encoder.image_size.to_string()),
            ],
            Some(_) => vec![("stem", encoder.stem.to_string())],
        };
        for (name, value) in ignored {
            let key = format!("model.encoder.{name}");
            let is_set = |layer: &usize| self.layers.get(*layer).is_some_and(|l| l.name == SET);
            if self.origins.get(&key).is_some_and(is_set) {
                let expected = format!("model.encoder.arch is {}, which has none", encoder.arch);
                return Err(SettingsError::Range { key, value, expected });
            }
        }
        Ok(())
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let mut table = Table::new();
        if name == "stream" {
            // So that `[stream.order]` may name the width of the window without its kind.
            table = Table::try_from(StreamSection::default())
                .expect("all settings are plain values that TOML can hold");
        }
        let value = match self.table.get(name).cloned() {
            Some(Value::Table(given)) => {
                merge(&mut table, given);
                Value::Table(table)
            }
            Some(other) => other,
            None => Value::Table(table),
        };
        let read = |value: Value| T::deserialize(value);
        read(value.clone()).map_err(|error| {
            let attempt = |value: Value| read(value).err().map(|error| error.message().to_owned());
            self.located(explain(name, &value, error.message(), &attempt))
        })
    }

    /// The error with the layer that the setting at fault comes from, and its place there.
    fn located(&self, error: SettingsError) -> SettingsError {
        let Some(key) = error.key() else { return error };
        let below = format!("{key}.");
        let mut outer = key;
        let mut origin = self.origins.get(key).or_else(|| {
            self.origins.iter().find(|(name, _)| name.starts_with(&below)).map(|(_, from)| from)
        });
        while let (None, Some((parent, _))) = (origin, outer.rsplit_once('.')) {
            (outer, origin) = (parent, self.origins.get(parent));
        }
        match origin.and_then(|number| self.layers.get(*number)) {
            Some(layer) => {
                SettingsError::At { origin: layer.at(key, &error), error: Box::new(error) }
            }
            None => error,
        }
    }
}

/// The key that says which of several sets of keys a table has. The keys of one kind mean nothing to
/// another, so a table of another kind replaces the one below instead of joining it.
pub(super) const KIND: &str = "kind";

/// The flag of one setting.
const SET: &str = "--set";

/// Deep merge: tables of the same kind are joined, everything else is replaced.
fn merge(below: &mut Table, above: Table) {
    if above.contains_key(KIND) && above.get(KIND) != below.get(KIND) {
        below.clear();
    }
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// A value as TOML, or as text if it is not TOML.
fn typed(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
