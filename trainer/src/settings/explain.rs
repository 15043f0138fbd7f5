//! From serde's words about a table to the full name of the setting that is at fault, its value and what was expected.
//!
//! serde says what is wrong but not where, least of all within an enum that is told by its `kind`. So the place is found by
//! trial: the fault is what has to be taken out for the message to change.

use toml::{Table, Value};

use super::error::{SettingsError, nearest};

/// One step of a path into a table.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The error in `section`, whose content is `value`. `message` is serde's; `attempt` gives it for another content.
pub(super) fn explain(
    section: &str,
    value: &Value,
    message: &str,
    attempt: &dyn Fn(Value) -> Option<String>,
) -> SettingsError {
    let full = |steps: &[String]| {
        [section].into_iter().chain(steps.iter().map(String::as_str)).collect::<Vec<_>>().join(".")
    };
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field")
        && let Some((unknown, known)) = names.split_first()
    {
        let place: Vec<String> =
            unknown_at(value, message, unknown, known, attempt).iter().map(text).collect();
        let name = |key: &str| full(&[place.as_slice(), &[key.to_owned()]].concat());
        return SettingsError::UnknownKey {
            key: name(unknown),
            nearest: nearest(unknown, known.iter().copied()).map(name),
        };
    }
    let is_missing = message.starts_with("missing field");
    if is_missing
        && let Some(field) = names.first()
        && let Some(path) = lacking(value, message, field, attempt)
    {
        let table = full(&path.iter().map(text).collect::<Vec<_>>());
        return SettingsError::Missing { table, field: (*field).to_owned() };
    }
    if !is_missing
        && let Some(path) = culprit(value, message, attempt)
        && let Some(given) = at(value, &path)
    {
        return SettingsError::Type {
            key: full(&path.iter().map(text).collect::<Vec<_>>()),
            value: given.to_string(),
            problem: expected(message),
        };
    }
    SettingsError::Value { section: section.to_owned(), problem: message.trim().to_owned() }
}

/// What was expected, in words of settings instead of serde's.
fn expected(message: &str) -> String {
    let Some((wrong, expected)) = message.trim().split_once(", expected ") else {
        return message.trim().to_owned();
    };
    if wrong.starts_with("unknown variant") {
        return format!("expected {}", expected.replace('`', "\""));
    }
    let words = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "path string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list, [..]",
        "a map" => "a table",
        other if other.starts_with("struct ") || other.contains("enum ") => "a table",
        other => other,
    };
    format!("expected {words}")
}

/// Path to the innermost value without which the message is another.
fn culprit(
    value: &Value,
    message: &str,
    attempt: &dyn Fn(Value) -> Option<String>,
) -> Option<Vec<Step>> {
    let mut paths = Vec::new();
    collect(value, &mut Vec::new(), &mut paths);
    // What the message speaks of first, since a list that is cut short brings up a fault of its own; then the innermost. What
    // another kind would need says nothing about the kind: it comes last.
    let is_kind =
        |path: &Vec<Step>| path.last() == Some(&Step::Key(super::layers::KIND.to_owned()));
    let is_meant =
        |path: &Vec<Step>| at(value, path).is_some_and(|value| speaks_of(message, value));
    paths.sort_by_key(|path| (is_kind(path), !is_meant(path), std::cmp::Reverse(path.len())));
    paths.into_iter().find(|path| {
        let mut without = value.clone();
        remove(&mut without, path);
        attempt(without).is_none_or(|other| other != message)
    })
}

/// Whether serde's message shows this value.
fn speaks_of(message: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => message.contains(text.as_str()),
        Value::Array(_) => message.contains("type: sequence"),
        Value::Table(_) => message.contains("type: map"),
        plain => message.contains(&format!("`{plain}`")),
    }
}

fn collect(value: &Value, at: &mut Vec<Step>, into: &mut Vec<Vec<Step>>) {
    let children: Vec<(Step, &Value)> = match value {
        Value::Table(table) => {
            table.iter().map(|(key, child)| (Step::Key(key.clone()), child)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, child)| (Step::Index(index), child)).collect()
        }
        _ => return,
    };
    for (step, child) in children {
        at.push(step);
        into.push(at.clone());
        collect(child, at, into);
        at.pop();
    }
}

fn at<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn at_mut<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

fn remove(value: &mut Value, path: &[Step]) {
    let Some((last, parents)) = path.split_last() else { return };
    match (at_mut(value, parents), last) {
        (Some(Value::Table(table)), Step::Key(key)) => {
            table.remove(key);
        }
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}

fn text(step: &Step) -> String {
    match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    }
}

/// Path to the table below the section that lacks a key: with anything in its place the message is another one. Where several
/// tables lack it, none alone does that.
fn lacking(
    value: &Value,
    message: &str,
    key: &str,
    attempt: &dyn Fn(Value) -> Option<String>,
) -> Option<Vec<Step>> {
    let mut paths = Vec::new();
    collect(value, &mut Vec::new(), &mut paths);
    let unknown = format!("unknown field `{key}`");
    paths.into_iter().find(|path| {
        let mut filled = value.clone();
        match at_mut(&mut filled, path) {
            Some(Value::Table(table)) if !table.contains_key(key) => {
                table.insert(key.to_owned(), Value::String(String::new()));
            }
            _ => return false,
        }
        attempt(filled).is_none_or(|other| other != message && !other.starts_with(&unknown))
    })
}

/// Path to the table that holds the unknown key. The same name may be right in another table: so it is where the message
/// changes without it. Where several tables have it wrongly, none alone does that, and the first is taken that has
/// neighbours which `known` names.
fn unknown_at(
    value: &Value,
    message: &str,
    unknown: &str,
    known: &[&str],
    attempt: &dyn Fn(Value) -> Option<String>,
) -> Vec<Step> {
    let mut paths = Vec::new();
    collect(value, &mut Vec::new(), &mut paths);
    paths.retain(|path| path.last() == Some(&Step::Key(unknown.to_owned())));
    // The outermost first.
    paths.sort_by_key(Vec::len);
    let missing = format!("missing field `{unknown}`");
    let changes = |path: &&Vec<Step>| {
        let mut without = value.clone();
        remove(&mut without, path);
        attempt(without).is_none_or(|other| other != message && !other.starts_with(&missing))
    };
    let has_known = |path: &&Vec<Step>| {
        let table = at(value, &path[..path.len() - 1]).and_then(Value::as_table);
        table.is_some_and(|table| table.keys().any(|key| known.contains(&key.as_str())))
    };
    let found = paths.iter().find(changes).or_else(|| paths.iter().find(has_known));
    let Some((_, table)) = found.or(paths.first()).and_then(|path| path.split_last()) else {
        return Vec::new();
    };
    table.to_vec()
}

/// Full names of all plain values of a table, and of its empty lists and tables.
pub(super) fn names(table: &Table) -> Vec<String> {
    those(table, |value| match value {
        Value::Table(table) => table.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    })
}

/// Full names of all lists of a table.
pub(super) fn lists(table: &Table) -> Vec<String> {
    those(table, Value::is_array)
}

fn those(table: &Table, is_meant: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    let value = Value::Table(table.clone());
    collect(&value, &mut Vec::new(), &mut paths);
    let name = |path: Vec<Step>| path.iter().map(text).collect::<Vec<_>>().join(".");
    paths.into_iter().filter(|path| at(&value, path).is_some_and(&is_meant)).map(name).collect()
}
