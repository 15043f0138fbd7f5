//! How data is named: a path, a pattern of paths, or a URL; told apart in this one place.

use std::path::{Path, PathBuf};

use super::error::OpenError;

/// Files that one pattern may name.
const MAX_FILES: usize = 1 << 20;

/// A name of data, not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file or folder of this machine.
    Path(PathBuf),
    /// Files of this machine by pattern: `{000..012}` and `{a,b}` are written out, `*`, `?` and `[a-c]` matched.
    Pattern(String),
    /// Something behind `scheme://`.
    Url(String),
}

impl Location {
    /// Tells what kind of name `given` is. A path that exists is one whatever characters it holds.
    pub fn parse(given: &Path) -> Self {
        if given.exists() {
            return Self::Path(given.to_owned());
        }
        match given.to_str() {
            Some(text) if scheme(text).is_some() => Self::Url(text.to_owned()),
            Some(text) if text.contains(['*', '?', '[', '{']) => Self::Pattern(text.to_owned()),
            _ => Self::Path(given.to_owned()),
        }
    }
}

/// The scheme of a URL: `s3` of `s3://bucket/key`.
pub fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain))
        .then_some(scheme)
}

/// The files that a pattern names, sorted. What braces write out has to be there.
pub(super) fn expand(pattern: &str) -> Result<Vec<PathBuf>, OpenError> {
    let wrong = |problem: String| OpenError::Pattern { pattern: pattern.to_owned(), problem };
    let mut files = Vec::new();
    for name in braces(pattern).map_err(wrong)? {
        if !name.contains(['*', '?', '[']) {
            let path = PathBuf::from(&name);
            if !path.exists() {
                return Err(wrong(format!("it names {name}, which is not there")));
            }
            files.push(path);
            continue;
        }
        for path in glob::glob(&name).map_err(|error| wrong(error.to_string()))? {
            files.push(path.map_err(|error| wrong(error.to_string()))?);
            if files.len() > MAX_FILES {
                return Err(wrong(format!("it names more than {MAX_FILES} files")));
            }
        }
    }
    if files.is_empty() {
        return Err(wrong("no file matches it".to_owned()));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// Writes out `{1..3}` (with leading zeros where an end has some) and `{a,b}`, as shells and `braceexpand` do.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let Some(open) = pattern.find('{') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let mut depth = 0;
    let close = pattern[open..]
        .char_indices()
        .find(|&(_, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        })
        .map(|(at, _)| open + at)
        .ok_or_else(|| "a `{` is not closed".to_owned())?;
    let inside = &pattern[open + 1..close];
    let mut choices = Vec::new();
    match range(inside)? {
        Some(numbers) => choices.extend(numbers),
        None => {
            for choice in top_level_choices(inside) {
                choices.extend(braces(choice)?);
            }
        }
    }
    let rest = braces(&pattern[close + 1..])?;
    if choices.len().saturating_mul(rest.len()) > MAX_FILES {
        return Err(format!("it names more than {MAX_FILES} files"));
    }
    let head = &pattern[..open];
    Ok(choices
        .iter()
        .flat_map(|choice| rest.iter().map(move |rest| format!("{head}{choice}{rest}")))
        .collect())
}

/// The numbers of `000..012`; `None` where it is no range.
fn range(inside: &str) -> Result<Option<Vec<String>>, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((first, last)) =
        inside.split_once("..").filter(|(first, last)| digits(first) && digits(last))
    else {
        return Ok(None);
    };
    let number =
        |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is too large a number"));
    let (from, to) = (number(first)?, number(last)?);
    if from > to || to - from >= MAX_FILES as u64 {
        return Err(format!("`{{{inside}}}` is no ascending range of at most {MAX_FILES} numbers"));
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    Ok(Some((from..=to).map(|number| format!("{number:0width$}")).collect()))
}

/// Splits at commas that lie in no inner braces.
fn top_level_choices(inside: &str) -> Vec<&str> {
    let (mut choices, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                choices.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    choices.push(&inside[start..]);
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_patterns_and_urls_are_told_apart_and_what_exists_is_a_path() {
        let parse = |text: &str| Location::parse(Path::new(text));
        assert_eq!(parse("no/such"), Location::Path("no/such".into()));
        assert_eq!(parse("a/{0..2}.tar"), Location::Pattern("a/{0..2}.tar".into()));
        assert_eq!(parse("a/*.tar"), Location::Pattern("a/*.tar".into()));
        assert_eq!(parse("s3://bucket/a*"), Location::Url("s3://bucket/a*".into()));
        assert_eq!(scheme("synthetic:200"), None);
        assert_eq!(scheme("//host/share"), None);
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a[1]{2}");
        std::fs::create_dir(&odd).unwrap();
        assert_eq!(Location::parse(&odd), Location::Path(odd));
    }

    #[test]
    fn braces_are_written_out_as_a_shell_does() {
        let out = |pattern| braces(pattern).unwrap();
        assert_eq!(out("x"), ["x"]);
        assert_eq!(out("a-{008..010}.tar"), ["a-008.tar", "a-009.tar", "a-010.tar"]);
        assert_eq!(out("{8..10}"), ["8", "9", "10"]);
        assert_eq!(out("{a,b{1..2}}-{x,y}"), ["a-x", "a-y", "b1-x", "b1-y", "b2-x", "b2-y"]);
        for wrong in ["{1..", "{5..1}", "{0..99999999}", "{0..9}{0..999999}"] {
            assert!(braces(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_finds_files_in_order_and_names_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b-1.tar", "b-0.tar", "b-2.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let expand = |pattern: &str| expand(&format!("{}/{pattern}", dir.path().display()));
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(expand("b-*.tar").unwrap()), ["b-0.tar", "b-1.tar"]);
        assert_eq!(names(expand("b-{0..1}.tar").unwrap()), ["b-0.tar", "b-1.tar"]);
        let message = expand("b-{0..3}.tar").unwrap_err().to_string();
        assert!(message.contains("b-2.tar, which is not there"), "{message}");
        assert!(expand("c*").unwrap_err().to_string().contains("no file matches"));
    }
}
