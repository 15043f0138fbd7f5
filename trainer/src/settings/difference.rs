//! What differs between the settings of a checkpoint and those of the run that resumes it.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::layers::RawConfig;
use super::sections::RunConfig;

/// Settings that change no step of a run: they may differ on resume without a word. Everything else is
/// refused, since the continued run would be neither the old one nor a new one.
///
/// `data.path` is here because the data set is compared by content, not by place.
const HARMLESS: &[&str] = &[
    "run.name",
    "run.device",
    "run.threads",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_checkpoints",
    "data.path",
    "data.split",
    "data.cache_dir",
    "data.cache_mib",
    "data.concurrent_reads",
    "stream.renderer",
    "stream.workers",
    "stream.num_slots",
    "stream.memory_budget_mib",
    "stream.max_bad",
    "eval.",
];

/// Settings that decide which samples, views and tensors there are: the saved position and the saved weights mean nothing
/// with other values. What a run began with is over when there is a checkpoint: another file would not be read.
const FIXED: &[&str] = &[
    "run.batch_size",
    "run.seed",
    "run.init",
    "stream.order.",
    "augment.",
    "model.encoder.arch",
    "model.encoder.stem",
    "model.encoder.width",
    "model.encoder.patch",
    "model.encoder.image_size",
    "model.projector_hidden",
    "model.predictor_hidden",
    "model.dim",
    "model.groups.count",
    "model.momentum_predictor",
    "optimizer.kind",
];

/// One setting with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Full name, `section.key`.
    pub key: String,
    /// Value in the checkpoint.
    pub saved: String,
    /// Value of this run.
    pub now: String,
}

impl Difference {
    /// Whether a run cannot go on with another value, whoever allows it.
    pub fn is_fixed(&self) -> bool {
        is_in(FIXED, &self.key)
    }

    /// The change in a line.
    pub(crate) fn in_words(&self) -> String {
        format!("{}: {} -> {}", self.key, self.saved, self.now)
    }
}

impl RunConfig {
    /// The settings as a TOML table.
    pub fn to_table(&self) -> Table {
        Table::try_from(self).expect("all settings are plain values that TOML can hold")
    }

    /// The settings as TOML text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("all settings are plain values that TOML can hold")
    }

    /// BLAKE3 of the settings that decide what a run computes; the harmless ones are left out.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in flat(&self.to_table()) {
            if !is_harmless(&key) {
                hasher.update(format!("{key}={value}\n").as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Settings that decide what a run computes and differ from `saved`, sorted by name. A setting that is younger than
    /// the checkpoint had its default.
    pub fn differences(&self, saved: &Table) -> Vec<Difference> {
        let completed = RawConfig::from_table(saved.clone()).resolve();
        let saved = completed.map_or_else(|_| flat(saved), |config| flat(&config.to_table()));
        let all = between(&saved, &flat(&self.to_table()));
        all.into_iter().filter(|difference| !is_harmless(&difference.key)).collect()
    }

    /// All settings that differ from those of `base`, sorted by name.
    pub fn changes(&self, base: &Self) -> Vec<Difference> {
        between(&flat(&base.to_table()), &flat(&self.to_table()))
    }
}

fn between(saved: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Difference> {
    let keys: BTreeSet<&String> = saved.keys().chain(now.keys()).collect();
    let text = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), Clone::clone);
    keys.into_iter()
        .filter(|key| saved.get(*key) != now.get(*key))
        .map(|key| Difference {
            key: key.clone(),
            saved: text(saved.get(key)),
            now: text(now.get(key)),
        })
        .collect()
}

fn is_harmless(key: &str) -> bool {
    is_in(HARMLESS, key)
}

/// Whether `key` is one of `names`, or in one of the tables among them, which end in a dot.
fn is_in(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| if name.ends_with('.') { key.starts_with(name) } else { key == *name })
}

/// Every plain value by its full name.
fn flat(table: &Table) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        let join =
            |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => {
                table.iter().for_each(|(key, child)| walk(&join(key), child, into))
            }
            Value::Array(list) => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, child)| walk(&join(&index.to_string()), child, into));
            }
            plain => {
                into.insert(prefix.to_owned(), plain.to_string());
            }
        }
    }
    let mut values = BTreeMap::new();
    walk("", &Value::Table(table.clone()), &mut values);
    values
}
