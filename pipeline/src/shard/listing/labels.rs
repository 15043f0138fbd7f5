//! Labels that lie in a file of their own, as those of ImageNet's validation images.
//!
//! Two forms: `name label` lines in any order (spaces, tabs or a comma between them), or one label a line in the
//! order of the images' names. A label is a class name, or a number that a second file gives names to.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::shard::error::ShardError;

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
    /// By file name without folder and ending.
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
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
            match (words.next(), words.next()) {
                (None, _) => {}
                (Some(label), None) => lines.push((number + 1, None, label)),
                (Some(name), Some(label)) => lines.push((number + 1, Some(name), label)),
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
            let named = lines.iter().filter_map(|(_, name, _)| *name).map(stem).zip(labels);
            By::Name(named.map(|(name, label)| (name.to_owned(), label)).collect())
        } else {
            By::Order(labels.collect())
        };
        let digest = blake3::hash(format!("{words:?} {text}").as_bytes()).to_hex().to_string();
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

/// The class names of a file: the first word of each line.
pub(super) fn class_names(file: &Path) -> Result<Vec<String>, ShardError> {
    let text = fs::read_to_string(file).map_err(ShardError::io("read", file))?;
    let names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    if names.is_empty() {
        let problem = "it holds no class names".to_owned();
        return Err(ShardError::Source { path: file.to_path_buf(), problem });
    }
    Ok(names)
}

/// Each class once: numbers by value, names by letters.
fn sorted(words: &[String]) -> Vec<String> {
    let classes: BTreeSet<(Option<u64>, &String)> =
        words.iter().map(|word| (word.parse().ok(), word)).collect();
    classes.into_iter().map(|(_, word)| word.clone()).collect()
}

/// A name without folder and ending.
fn stem(name: &str) -> &str {
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    base.split_once('.').map_or(base, |(stem, _)| stem)
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
    fn mixed_and_empty_files_are_refused_with_the_line() {
        let message = parse("a n1\n\nn2\n", None).unwrap_err().to_string();
        assert!(message.contains("line 3 is not `name label`"), "{message}");
        assert!(parse(" \n", None).is_err());
    }
}
