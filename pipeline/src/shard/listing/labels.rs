//! Labels that lie in a file of their own, as those of ImageNet's validation images.
//!
//! Two forms: `name label` lines in any order (spaces, tabs or a comma between them), or one label a line in the
//! order of the images' names. A label is a class name, or a number that a second file gives names to.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::shard::error::ShardError;
use crate::shard::is_image_name;

/// Between the words of a line.
const SEPARATORS: [char; 3] = [' ', '\t', ','];

/// Labels by name or by order.
#[derive(Debug)]
pub(super) struct Labels {
    file: PathBuf,
    classes: Vec<String>,
    by: By,
    digest: String,
    used: Cell<bool>,
}

#[derive(Debug)]
enum By {
    /// By file name without folder and image ending.
    Name(HashMap<String, u32>),
    Order(Vec<u32>),
}

impl Labels {
    /// Reads the file, and the names of numbered classes from `names`.
    pub(super) fn read(file: &Path, names: Option<&Path>) -> Result<Self, ShardError> {
        let text = fs::read_to_string(file).map_err(ShardError::io("read", file))?;
        let names = names.map(class_names).transpose()?;
        Self::parse(file, &text, names.as_deref())
    }

    fn parse(file: &Path, text: &str, names: Option<&[String]>) -> Result<Self, ShardError> {
        let wrong = |problem: String| ShardError::Source { path: file.to_path_buf(), problem };
        let mut lines: Vec<(usize, Option<&str>, &str)> = Vec::new();
        let mut rests: HashMap<&str, (usize, Vec<&str>)> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let Some((first, rest)) = word(line) else { continue };
            let Some((label, rest)) = word(rest) else {
                lines.push((number, None, first));
                continue;
            };
            lines.push((number, Some(first), label));
            // Behind a class may stand the places of things in the image, or further columns.
            let rest = rest.split([',', '\t']).next().unwrap_or_default().split(' ');
            let rest: Vec<&str> = rest
                .filter(|word| !word.is_empty() && *word != label && word.parse::<f64>().is_err())
                .collect();
            let (other, known) = rests.entry(label).or_insert_with(|| (number, rest.clone()));
            if *known != rest {
                return Err(wrong(format!(
                    "lines {other} and {number} both say `{label}` and go on otherwise; one word names a class, so write \
                     it with `_` for spaces, and put a tab or comma before what is not part of it"
                )));
            }
        }
        let Some(&(_, first, _)) = lines.first() else {
            return Err(wrong("it holds no labels".to_owned()));
        };
        if let Some((line, ..)) =
            lines.iter().find(|(_, name, _)| name.is_some() != first.is_some())
        {
            let form = if first.is_some() { "`name label`" } else { "one label" };
            return Err(wrong(format!("line {line} is not {form} as the first line is")));
        }
        let numbers: Option<Vec<u64>> =
            lines.iter().map(|(_, _, label)| label.parse().ok()).collect();
        let words: Vec<String> = match (numbers, names) {
            // Numbers begin at 1 as in ImageNet's development kit, unless there is a 0.
            (Some(numbers), Some(names)) => {
                let base = u64::from(!numbers.contains(&0));
                let name = |(number, line): (&u64, usize)| {
                    let name = usize::try_from(number - base).ok().and_then(|at| names.get(at));
                    name.cloned().ok_or_else(|| {
                        wrong(format!(
                            "line {line} is class {number}, but the file of class names has {} lines",
                            names.len()
                        ))
                    })
                };
                let numbered = numbers.iter().zip(lines.iter().map(|(line, ..)| *line));
                numbered.map(name).collect::<Result<_, _>>()?
            }
            _ => lines.iter().map(|(_, _, label)| (*label).to_owned()).collect(),
        };
        let classes = sorted(&words);
        let by_name: HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(class, label)| (class.as_str(), label)).collect();
        let labels = words.iter().map(|word| by_name[word.as_str()]);
        let by = if first.is_some() {
            let named = lines.iter().filter_map(|&(line, name, _)| Some((line, name?))).zip(labels);
            let mut by_name: HashMap<&str, (usize, u32)> = HashMap::new();
            for ((line, name), label) in named {
                let (other, known) = *by_name.entry(stem(name)).or_insert((line, label));
                if known != label {
                    return Err(wrong(format!(
                        "lines {other} and {line} give `{}` two labels, `{}` and `{}`; folders and endings of images \
                         do not tell names apart",
                        stem(name),
                        classes[known as usize],
                        classes[label as usize]
                    )));
                }
            }
            By::Name(
                by_name.iter().map(|(name, (_, label))| ((*name).to_owned(), *label)).collect(),
            )
        } else {
            By::Order(labels.collect())
        };
        let mut content = format!("{words:?} {text}");
        if let By::Name(by_name) = &by
            && were_mixed_up(by_name)
        {
            content += " by whole names";
        }
        let digest = blake3::hash(content.as_bytes()).to_hex().to_string();
        Ok(Self { file: file.to_path_buf(), classes, by, digest, used: Cell::new(false) })
    }

    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Names the content.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn were_used(&self) -> bool {
        self.used.get()
    }

    /// Labels of images by their names, which are sorted; `None` where the file has none for an image.
    pub(super) fn of<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Option<u32>>, ShardError> {
        self.used.set(true);
        match &self.by {
            By::Order(labels) => {
                let num_images = names.count();
                if num_images != labels.len() {
                    return Err(self.problem(&format!(
                        "it has {} labels in the order of names, but there are {num_images} images",
                        labels.len()
                    )));
                }
                Ok(labels.iter().copied().map(Some).collect())
            }
            By::Name(labels) => {
                let found: Vec<Option<u32>> =
                    names.clone().map(|name| labels.get(stem(name)).copied()).collect();
                if found.iter().all(Option::is_none) {
                    let example = names.clone().next().unwrap_or("no image");
                    return Err(
                        self.problem(&format!("it has no line for any image, such as {example}"))
                    );
                }
                Ok(found)
            }
        }
    }

    /// Why an image without a label is left out.
    pub(super) fn missing(&self) -> String {
        format!("{} has no line for it", self.file.display())
    }

    pub(super) fn problem(&self, problem: &str) -> ShardError {
        ShardError::Source { path: self.file.clone(), problem: problem.to_owned() }
    }
}

/// The class names of a file: the first word of each line, as it is an id in the lists of ImageNet.
pub(super) fn class_names(file: &Path) -> Result<Vec<String>, ShardError> {
    let text = fs::read_to_string(file).map_err(ShardError::io("read", file))?;
    parse_names(&text).map_err(|problem| ShardError::Source { path: file.to_path_buf(), problem })
}

fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let (mut names, mut lines) = (Vec::new(), HashMap::new());
    for (number, line) in text.lines().enumerate() {
        let Some(name) = line.split_whitespace().next() else { continue };
        if let Some(other) = lines.insert(name, number + 1) {
            return Err(format!(
                "lines {other} and {} both name class `{name}`, as the first word of a line counts; write each name as \
                 one word that no other line begins with, such as great_white_shark",
                number + 1
            ));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() { Err("it holds no class names".to_owned()) } else { Ok(names) }
}

/// The first word of a text, and what comes behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(SEPARATORS);
    let end = text.find(SEPARATORS).unwrap_or(text.len());
    (!text.is_empty()).then(|| text.split_at(end))
}

/// Each class once: numbers by value, names by letters.
fn sorted(words: &[String]) -> Vec<String> {
    let classes: BTreeSet<(Option<u64>, &String)> =
        words.iter().map(|word| (word.parse().ok(), word)).collect();
    classes.into_iter().map(|(_, word)| word.clone()).collect()
}

/// A name without folder and without the ending of an image, if it has one: `img.001` of `val/img.001.jpg`.
fn stem(name: &str) -> &str {
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() && is_image_name(base) => stem,
        _ => base,
    }
}

/// Whether these names were one to earlier versions, which went by what stands before the first dot: a data set that
/// they made has wrong labels, and must not pass for the same.
fn were_mixed_up(labels: &HashMap<String, u32>) -> bool {
    let mut before = HashMap::new();
    labels.iter().any(|(name, label)| {
        let first = name.split_once('.').map_or(name.as_str(), |(first, _)| first);
        before.insert(first, label).is_some_and(|other| other != label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, names: Option<&[&str]>) -> Result<Labels, ShardError> {
        let names: Option<Vec<String>> =
            names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        Labels::parse(Path::new("labels.txt"), text, names.as_deref())
    }

    #[test]
    fn numbers_in_the_order_of_names_get_the_names_of_the_class_file_sorted() {
        // As ILSVRC2012_validation_ground_truth.txt: class 1 is the first of the development kit, which is
        // not the first by name.
        let labels = parse("2\n1\n3\n1\n", Some(&["n9", "n1", "n5"])).unwrap();
        assert_eq!(labels.classes(), ["n1", "n5", "n9"]);
        let found = labels.of(["a", "b", "c", "d"].into_iter()).unwrap();
        assert_eq!(found, [Some(0), Some(2), Some(1), Some(2)]);
        let message = labels.of(["a"].into_iter()).unwrap_err().to_string();
        assert!(message.contains("4 labels") && message.contains("1 images"), "{message}");
        let message = parse("4\n", Some(&["n9", "n1", "n5"])).unwrap_err().to_string();
        assert!(message.contains("class 4") && message.contains("3 lines"), "{message}");
        assert_eq!(parse("0\n2\n", Some(&["x", "y", "z"])).unwrap().classes(), ["x", "z"]);
    }

    #[test]
    fn numbers_alone_are_classes_in_the_order_of_their_values() {
        assert_eq!(parse("10\n9\n1\n", None).unwrap().classes(), ["1", "9", "10"]);
    }

    #[test]
    fn names_are_found_with_and_without_folder_and_ending_and_by_a_comma() {
        let text = "ImageId,PredictionString\nv/x_1.JPEG,n2 10 20 30\nx_2 n1\n";
        let labels = parse(text, None).unwrap();
        assert_eq!(labels.classes(), ["PredictionString", "n1", "n2"]);
        let found = labels.of(["val/x_2.JPEG", "x_1.JPEG", "x_3.JPEG"].into_iter()).unwrap();
        assert_eq!(found, [Some(1), Some(2), None]);
        assert!(labels.of(["y"].into_iter()).is_err());
    }

    #[test]
    fn names_with_several_dots_are_told_apart_and_two_labels_of_one_name_are_refused() {
        let labels = parse("img.001.jpg n01\nimg.002.JPEG n02\nimg.003 n03\n", None).unwrap();
        let names = ["img.001.jpg", "img.002.jpg", "img.003.webp", "img.004.jpg"];
        assert_eq!(labels.of(names.into_iter()).unwrap(), [Some(0), Some(1), Some(2), None]);
        let message =
            parse("a/x.jpg n1\nb/y.jpg n1\n\nb/x.png n2\n", None).unwrap_err().to_string();
        assert!(message.contains("lines 1 and 4 give `x` two labels, `n1` and `n2`"), "{message}");
        assert!(parse("a/x.jpg n1\nb/x.png n1\n", None).is_ok(), "the same label twice");
        assert_eq!(stem("a/.jpg"), ".jpg");
    }

    #[test]
    fn the_digest_stays_except_where_earlier_versions_mixed_up_names() {
        let digest = |text: &str, words: &str| {
            let expected = blake3::hash(format!("{words} {text}").as_bytes()).to_hex().to_string();
            parse(text, None).unwrap().digest() == expected
        };
        assert!(digest("x.jpg n1\ny.jpg n2\n", r#"["n1", "n2"]"#));
        assert!(digest("img.1.jpg n1\nimg.2.jpg n1\n", r#"["n1", "n1"]"#), "one label: no harm");
        assert!(!digest("img.1.jpg n1\nimg.2.jpg n2\n", r#"["n1", "n2"]"#));
    }

    #[test]
    fn classes_of_several_words_are_refused_where_they_would_become_one() {
        let message = parse("x.jpg great white shark\ny.jpg great grey owl\n", None);
        let message = message.unwrap_err().to_string();
        assert!(message.contains("lines 1 and 2 both say `great`"), "{message}");
        // Boxes, descriptions and further columns are no trouble.
        for text in [
            "x.jpg,n1 1 2 3 4 n1 5 6 7 8\ny.jpg,n1 9 9 9 9\n",
            "x.jpg n1 tench\ny.jpg n1 tench\n",
            "x.jpg,n1,by me\ny.jpg,n1,by you\n",
            "x.jpg\tn1\ttrain\ny.jpg\tn1\ttest\n",
        ] {
            assert_eq!(parse(text, None).unwrap().classes(), ["n1"], "{text}");
        }
        assert_eq!(parse_names("n01 tench\n\nn02 tench\n").unwrap(), ["n01", "n02"]);
        let message = parse_names("tiger\ngreat white shark\n\ngreat grey owl\n").unwrap_err();
        assert!(message.contains("lines 2 and 4 both name class `great`"), "{message}");
    }

    #[test]
    fn mixed_and_empty_files_are_refused_with_the_line() {
        let message = parse("a n1\n\nn2\n", None).unwrap_err().to_string();
        assert!(message.contains("line 3 is not `name label`"), "{message}");
        assert!(parse(" \n", None).is_err());
    }
}
