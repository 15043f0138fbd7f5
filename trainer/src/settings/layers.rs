//! Layers of settings: preset, then file, then `--set`, each on top of the one before.
//!
//! A [`RawConfig`] is text that has not been understood yet: a TOML table. [`RawConfig::resolve`] is the
//! one step that turns it into a typed and checked [`RunConfig`].

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::{SettingsError, nearest};
use super::sections::{RunConfig, SECTIONS};

/// Settings as layered tables, not yet typed or checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawConfig {
    table: Table,
}

impl RawConfig {
    /// Settings from a table, such as those that a run was started with.
    pub fn from_table(table: Table) -> Self {
        Self { table }
    }

    /// The settings of a preset.
    ///
    /// # Errors
    /// If there is none of that name; the error names the nearest.
    pub fn preset(name: &str) -> Result<Self, SettingsError> {
        let text = super::presets::text(name)?;
        Self::default().with_text(text, &format!("preset {name}"))
    }

    /// Puts the settings of a TOML text on top. `origin` names it in errors.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn with_text(mut self, text: &str, origin: &str) -> Result<Self, SettingsError> {
        let table: Table = text.parse().map_err(|source| SettingsError::Toml {
            origin: origin.to_owned(),
            source: Box::new(source),
        })?;
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
    pub fn with_set(mut self, text: &str) -> Result<Self, SettingsError> {
        let wrong = |problem: &str| SettingsError::Set {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let (path, value) =
            text.split_once('=').ok_or_else(|| wrong("expected section.key=value"))?;
        let value = typed(value.trim());
        let keys: Vec<&str> = path.trim().split('.').collect();
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
        for name in self.table.keys() {
            if !SECTIONS.contains(&name.as_str()) {
                return Err(SettingsError::UnknownKey {
                    key: name.clone(),
                    nearest: nearest(name, SECTIONS.iter().copied()).map(str::to_owned),
                });
            }
        }
        let config = RunConfig {
            run: self.section("run")?,
            data: self.section("data")?,
            stream: self.section("stream")?,
            augment: self.section("augment")?,
            model: self.section("model")?,
            optimizer: self.section("optimizer")?,
            schedule: self.section("schedule")?,
            reset: self.section("reset")?,
            eval: self.section("eval")?,
        };
        config.validate()?;
        Ok(config)
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let value = self.table.get(name).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        T::deserialize(value.clone()).map_err(|error| explain(name, &value, error.message()))
    }
}

/// The key that says which of several sets of keys a table has. The keys of one kind mean nothing to
/// another, so a table of another kind replaces the one below instead of joining it.
const KIND: &str = "kind";

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

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into the full name and its nearest
/// neighbour. Serde says which names are possible at that place; where the place is, is looked up.
fn explain(section: &str, value: &Value, message: &str) -> SettingsError {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field")
        && let Some((unknown, known)) = names.split_first()
    {
        let place = find(value, unknown).unwrap_or_default();
        let full = |key: &str| {
            [section]
                .into_iter()
                .chain(place.iter().map(String::as_str))
                .chain([key])
                .collect::<Vec<_>>()
                .join(".")
        };
        return SettingsError::UnknownKey {
            key: full(unknown),
            nearest: nearest(unknown, known.iter().copied()).map(full),
        };
    }
    SettingsError::Value { section: section.to_owned(), problem: message.trim().to_owned() }
}

/// Path to the table that holds `key`, outermost first.
fn find(value: &Value, key: &str) -> Option<Vec<String>> {
    let children: Vec<(String, &Value)> = match value {
        Value::Table(table) if table.contains_key(key) => return Some(Vec::new()),
        Value::Table(table) => table.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect()
        }
        _ => return None,
    };
    children.into_iter().find_map(|(name, child)| {
        let mut path = find(child, key)?;
        path.insert(0, name);
        Some(path)
    })
}
