//! Which folders of a source are its splits, and whether the folders below it are one level off.
//!
//! `train`, `val`, `validation`, `valid` and `test` always are. Other spellings (`Train`, `training`, `val2017`) could
//! be classes among classes, so they count only beside one of these, or where every folder with images has such a name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::SplitListing;

/// Splits in the order in which they are written.
pub(super) const SPLITS: [&str; 5] = ["train", "val", "validation", "valid", "test"];
/// Names that a message shows at most.
const NAMED: usize = 4;

/// The split that a folder stands for.
pub(super) fn split_of(folder: &str) -> Option<&'static str> {
    let name = folder.to_lowercase();
    let name = name.trim_end_matches(|end: char| end.is_ascii_digit() || "_-".contains(end));
    let name = match name {
        "training" => "train",
        "testing" => "test",
        name => name,
    };
    SPLITS.into_iter().find(|split| *split == name)
}

/// The folders of a source, told apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SplitFolders {
    /// Splits with their folders, in order; empty where the folders are classes.
    pub(super) splits: Vec<(&'static str, String)>,
    /// Folders that are left alone, sorted.
    pub(super) beside: Vec<String>,
    /// What a person should know.
    pub(super) note: Option<String>,
}

impl SplitFolders {
    /// Tells `folders` apart, which are sorted; `has_images` is asked of some.
    ///
    /// # Errors
    /// In words, if two folders are one split.
    pub(super) fn new(
        folders: Vec<String>,
        has_images: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let is_exact = |folder: &String| SPLITS.contains(&folder.as_str());
        let any_exact = folders.iter().any(is_exact);
        let (named, others): (Vec<String>, Vec<String>) =
            folders.into_iter().partition(|folder| split_of(folder).is_some());
        if named.is_empty() {
            return Ok(Self::default());
        }
        if !any_exact {
            let classes: Vec<&String> =
                others.iter().filter(|folder| has_images(folder.as_str())).collect();
            if !classes.is_empty() {
                let note = format!(
                    "{} could be splits, but there are images in {}, too: all are taken for classes; name split folders \
                     `train`, `val` and `test`",
                    list(&named),
                    list(&classes)
                );
                return Ok(Self { note: Some(note), ..Self::default() });
            }
        }
        let mut found: Vec<(&'static str, String)> = Vec::new();
        let mut beside = others;
        for split in SPLITS {
            let of = named.iter().filter(|folder| split_of(folder) == Some(split));
            let exact = of.clone().find(|folder| *folder == split);
            let chosen = match (exact, of.clone().count()) {
                (_, 0) => continue,
                (Some(exact), _) => exact,
                (None, 1) => of.clone().next().expect("there is one"),
                (None, _) => {
                    let folders: Vec<&String> = of.collect();
                    return Err(format!(
                        "{} would all be split `{split}`; name one of them `{split}` or move the others away",
                        list(&folders)
                    ));
                }
            };
            beside.extend(of.filter(|folder| *folder != chosen).cloned());
            found.push((split, chosen.clone()));
        }
        beside.sort();
        Ok(Self { splits: found, beside, note: None })
    }
}

/// What the classes of a split hold.
#[derive(Default)]
struct Class<'a> {
    has_images: bool,
    folders: BTreeSet<&'a str>,
}

/// Looks for classes that are no classes: folders of splits, and folders of nothing but folders.
///
/// # Errors
/// In words, if all classes hold splits: train and test images would be mixed under one label.
pub(super) fn check_level(
    listing: &SplitListing,
    root: Option<&Path>,
) -> Result<Option<String>, String> {
    let mut classes: BTreeMap<&str, Class<'_>> = BTreeMap::new();
    for folder in &listing.folders {
        let mut parts = folder.path.iter().map(|part| part.to_str().unwrap_or_default());
        let Some(class) = parts.next() else { continue };
        let class = classes.entry(class).or_default();
        match parts.next() {
            Some(inner) => _ = class.folders.insert(inner),
            None => class.has_images = true,
        }
    }
    let of_splits = |class: &Class<'_>| {
        !class.has_images && class.folders.iter().all(|inner| split_of(inner).is_some())
    };
    let named = |name: &str| match root {
        Some(root) => format!("name that folder: {}", root.join(name).display()),
        None => "take it apart first".to_owned(),
    };
    let wrong: Vec<&str> =
        classes.iter().filter(|(_, class)| of_splits(class)).map(|(name, _)| *name).collect();
    if let Some(&first) = wrong.first() {
        let inner: Vec<&&str> = classes[first].folders.iter().collect();
        let (inner, folders) = (list(&inner), list(&wrong));
        if wrong.len() < classes.len() {
            // Beside others it may well be a class, and one odd folder should not stop a whole data set.
            let (noun, verb) = match wrong.len() {
                1 => ("folder", "holds"),
                _ => ("folders", "hold"),
            };
            return Ok(Some(format!(
                "the class {noun} {folders} {verb} folders that are named as splits ({inner}); they are taken for a part \
                 of the class, as other classes have none"
            )));
        }
        return Err(match wrong.len() {
            1 => format!(
                "its folder {folders} holds splits ({inner}), which would become one class; {}",
                named(first)
            ),
            _ => format!(
                "the class folders {folders} hold splits ({inner}), whose images would be mixed; expected splits first \
                 and classes in them, as in train/{first}, or name one of these folders"
            ),
        });
    }
    if classes.is_empty() || classes.values().any(|class| class.has_images) {
        return Ok(None);
    }
    let inner: BTreeSet<&str> =
        classes.values().flat_map(|class| class.folders.iter().copied()).collect();
    let inner = list(&inner.into_iter().collect::<Vec<_>>());
    let names: Vec<&str> = classes.keys().copied().collect();
    Ok(Some(match names[..] {
        [only] => format!(
            "all images lie in folders of `{only}` ({inner}) and get the one class `{only}`; if those are the classes, {}",
            named(only)
        ),
        _ => format!(
            "the classes {} hold folders only ({inner}); images of one class are not told apart by them",
            list(&names)
        ),
    }))
}

/// Some names, quoted.
fn list(names: &[impl AsRef<str>]) -> String {
    let mut shown: Vec<String> =
        names.iter().take(NAMED).map(|name| format!("`{}`", name.as_ref())).collect();
    if names.len() > NAMED {
        shown.push("...".to_owned());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(folders: &[&str]) -> Result<SplitFolders, String> {
        let folders = folders.iter().map(|name| (*name).to_owned()).collect();
        SplitFolders::new(folders, |folder| folder != "annotations")
    }

    fn splits(folders: &[&str]) -> Vec<String> {
        let found = told_apart(folders).unwrap().splits;
        found.into_iter().map(|(split, folder)| format!("{split}={folder}")).collect()
    }

    #[test]
    fn splits_are_known_by_other_spellings_where_these_cannot_be_classes() {
        assert_eq!(splits(&["test", "train"]), ["train=train", "test=test"]);
        assert_eq!(splits(&["Validation", "train"]), ["train=train", "validation=Validation"]);
        assert_eq!(splits(&["testing", "training"]), ["train=training", "test=testing"]);
        let coco = ["annotations", "train2017", "val2017"];
        assert_eq!(splits(&coco), ["train=train2017", "val=val2017"]);
        assert_eq!(told_apart(&coco).unwrap().beside, ["annotations"]);
        let sports = told_apart(&["running", "swimming", "training"]).unwrap();
        assert_eq!(sports.splits, []);
        assert!(sports.note.unwrap().contains("`training` could be splits"));
        assert_eq!(told_apart(&["cat", "dog"]).unwrap(), SplitFolders::default());
    }

    #[test]
    fn of_two_folders_for_one_split_the_plain_name_counts_or_none() {
        let found = told_apart(&["train", "training"]).unwrap();
        assert_eq!(found.splits, [("train", "train".to_owned())]);
        assert_eq!(found.beside, ["training"]);
        let problem = told_apart(&["train2014", "train2017"]).unwrap_err();
        assert!(problem.contains("`train2014`, `train2017`"), "{problem}");
    }
}
