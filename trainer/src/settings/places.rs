//! Where settings stand in a TOML text, for messages. The tables that layers are merged into have forgotten it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in a text: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

/// Where a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name; of an entry of a list, the entry.
    pub(super) key: Place,
    pub(super) value: Place,
}

impl Place {
    /// Of the character that begins at this byte, or of the end.
    pub(super) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: 1 + before.matches('\n').count(), column: 1 + line.chars().count() }
    }

    /// The line that it is in.
    pub(super) fn line(self, text: &str) -> &str {
        text.lines().nth(self.line - 1).unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// All tables, lists and values of a text by their full names; nothing where it is no TOML.
pub(super) fn places(text: &str) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    if let Ok(document) = DeTable::parse(text) {
        of_table("", document.get_ref(), text, &mut found);
    }
    found
}

fn of_table(prefix: &str, table: &DeTable<'_>, text: &str, into: &mut BTreeMap<String, Entry>) {
    for (key, value) in table.iter() {
        let name = match prefix {
            "" => key.get_ref().to_string(),
            prefix => format!("{prefix}.{}", key.get_ref()),
        };
        of_value(name, key.span(), value, text, into);
    }
}

fn of_value(
    name: String,
    key: Range<usize>,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    into: &mut BTreeMap<String, Entry>,
) {
    match value.get_ref() {
        DeValue::Table(table) => of_table(&name, table, text, into),
        DeValue::Array(list) => {
            for (index, entry) in list.iter().enumerate() {
                of_value(format!("{name}.{index}"), entry.span(), entry, text, into);
            }
        }
        _ => {}
    }
    let place = |span: Range<usize>| Place::of(text, span.start);
    into.insert(name, Entry { key: place(key), value: place(value.span()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_found_where_it_stands() {
        let text = "run.seed = 3\n[model]\n  dim = 128\n\n[[augment.views]]\ncrop = { scale = [0.1, \"ü\", 1] }\r\n\
                    [[augment.views]]\nflip = 0.5\n[\"reset\"]\n";
        let places = places(text);
        let at = |name: &str| {
            let entry = places.get(name).unwrap_or_else(|| panic!("{name}: {places:?}"));
            (entry.key.to_string(), entry.value.to_string())
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(at("run.seed"), pair("1:5", "1:12"));
        assert_eq!(at("model").0, "2:2");
        assert_eq!(at("model.dim"), pair("3:3", "3:9"));
        assert_eq!(at("augment.views.0.crop.scale"), pair("6:10", "6:18"));
        assert_eq!(at("augment.views.0.crop.scale.2"), pair("6:29", "6:29"));
        assert_eq!(at("augment.views.1.flip"), pair("8:1", "8:8"));
        assert_eq!(at("reset").0, "9:2");
        assert!(super::places("no TOML").is_empty());
    }

    #[test]
    fn a_place_is_counted_in_characters_and_the_end_is_one() {
        let text = "é = 1\nü";
        assert_eq!(Place::of(text, 0).to_string(), "1:1");
        assert_eq!(Place::of(text, 3).to_string(), "1:3");
        assert_eq!(Place::of(text, text.len()).to_string(), "2:2");
        assert_eq!(Place::of(text, 99).to_string(), "2:2", "behind the end");
        assert_eq!(Place::of(text, text.len()).line(text), "ü");
    }
}
