//! What can be wrong with settings.

use std::path::PathBuf;

use super::places::Place;

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No preset of that name.
    #[error("there is no preset `{name}`{}; presets are {known}", did_you_mean(nearest))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
        /// All names.
        known: String,
    },
    /// Neither preset nor file.
    #[error("no settings: give --preset NAME (one of {known}) or --config FILE")]
    Nothing {
        /// All preset names.
        known: String,
    },
    /// A settings file cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A settings file is not TOML.
    #[error("{origin}: not valid TOML: {problem}; the line is `{line}`")]
    Toml {
        /// The file or preset, with line and column.
        origin: String,
        /// What the parser says.
        problem: String,
        /// The line.
        line: String,
    },
    /// `--set` without `=`, or a path that leads nowhere.
    #[error("--set {text}: {problem}")]
    Set {
        /// As typed.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// A key or section that does not exist.
    #[error("unknown setting `{key}`{}", did_you_mean(nearest))]
    UnknownKey {
        /// Full name, `section.key`.
        key: String,
        /// The nearest full name that exists.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{key} = {value}: {problem}")]
    Type {
        /// Full name.
        key: String,
        /// The value given, as TOML.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A table without a key that it needs.
    #[error("{table} lacks `{field}`")]
    Missing {
        /// Full name.
        table: String,
        /// The key.
        field: String,
    },
    /// Values that do not go together.
    #[error("settings in [{section}]: {problem}")]
    Value {
        /// Section.
        section: String,
        /// The message of the parser.
        problem: String,
    },
    /// A value that has the right type but makes no sense.
    #[error("{key} = {value}: {expected}")]
    Range {
        /// Full name.
        key: String,
        /// The value given.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// What is wrong, and which layer says so.
    #[error("{origin}: {error}")]
    At {
        /// A file with line and column, a flag or a preset.
        origin: String,
        /// What is wrong; not a source, since it is said here.
        error: Box<Self>,
    },
    /// More than one thing is wrong.
    #[error("{} settings are wrong:\n{}", errors.len(), lines(errors))]
    Several {
        /// Each of them.
        errors: Vec<Self>,
    },
}

fn lines(errors: &[SettingsError]) -> String {
    errors.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n")
}

/// Characters of a line that are shown: more than any setting has.
const MOST_SHOWN: usize = 120;

impl SettingsError {
    /// That a text cannot be parsed, and where.
    pub(super) fn not_toml(origin: &str, text: &str, error: &toml::de::Error) -> Self {
        let place = Place::of(text, error.span().map_or(0, |span| span.start));
        Self::Toml {
            origin: format!("{origin}:{place}"),
            problem: error.message().trim().replace('\n', "; "),
            line: place.line(text).trim().chars().take(MOST_SHOWN).collect(),
        }
    }

    /// The full name of the setting that is at fault, where it is one.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { key, .. }
            | Self::Type { key, .. }
            | Self::Range { key, .. }
            | Self::Missing { table: key, .. } => Some(key),
            _ => None,
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The candidate that is most like `name`, if any is near enough to be a slip of the pen.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
