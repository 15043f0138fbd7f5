//! Fixed subsets of a split for training with few labels, and the lists that record them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SubsetSource};

use super::splits::labels;

/// What the line that names the data begins with.
const DATA: &str = "# data ";
/// What the line that says which share was asked for begins with.
const SHARE: &str = "# share ";
/// Shares that others publish results for.
const PUBLISHED: [f64; 2] = [0.01, 0.1];

/// Samples whose labels are used.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// Numbers, ascending.
    pub samples: Vec<u32>,
    /// The share that was asked for, above 0 to 1: that of the samples differs where classes are small.
    pub share: f64,
}

/// A share of each class's samples, at least one of each: drawn from `seed`, the class and nothing else.
///
/// # Errors
/// If a sample has no label or the source cannot be read.
pub fn draw(source: &dyn Source, share: f64, seed: u64) -> Result<Subset> {
    let mut by_class: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (sample, label) in (0..).zip(labels(source)?) {
        ensure!(label >= 0, "sample {sample} has no label, so no share of its class can be drawn");
        by_class.entry(label).or_default().push(sample);
    }
    let mut chosen = Vec::new();
    for (class, mut samples) in by_class {
        let count = ((samples.len() as f64 * share).round() as usize).clamp(1, samples.len());
        Draw::new(seed, Domain::Selection, [1, class as u32, 0, 0, 0]).shuffle(&mut samples);
        chosen.extend_from_slice(&samples[..count]);
    }
    chosen.sort_unstable();
    Ok(Subset { samples: chosen, share })
}

/// The list as text: the data that the numbers belong to and the share, then one sample number per line.
pub fn to_text(source: &dyn Source, subset: &Subset) -> String {
    let mut text = format!(
        "{DATA}{}\n{SHARE}{}\n# {} of {} samples, numbered in the order of the split from 0\n",
        source.digest(),
        subset.share,
        subset.samples.len(),
        source.num_samples()
    );
    for sample in &subset.samples {
        let _ = writeln!(text, "{sample}");
    }
    text
}

/// The share that a list without a line of its own stands for: SimCLR's for 1 % and 10 % of ImageNet hold a sample or
/// two less.
fn share_of(num_listed: usize, num_samples: u64) -> f64 {
    let share = num_listed as f64 / num_samples as f64;
    PUBLISHED.into_iter().find(|of| (share / of - 1.0).abs() < 0.05).unwrap_or(share)
}

/// Reads a list: sample numbers, or names of files as in SimCLR's lists for ImageNet. Names are looked up among the
/// ends of the samples' paths, which reads the whole split once.
///
/// # Errors
/// If the file cannot be read, belongs to other data, or names a sample that is not there or one of several.
pub fn read(path: &Path, source: &dyn Source) -> Result<Subset> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the list {}", path.display()))?;
    if let Some(digest) = text.lines().find_map(|line| line.strip_prefix(DATA)) {
        ensure!(
            digest.trim() == source.digest(),
            "{} lists samples of other data (digest {digest}, this split has {}); lists hold for one data set only",
            path.display(),
            source.digest()
        );
    }
    let entries: Vec<(usize, &str)> = (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    ensure!(!entries.is_empty(), "{} lists no sample", path.display());
    let names = match entries.iter().all(|(_, entry)| entry.parse::<u32>().is_ok()) {
        true => None,
        false => Some(Names::read(source)?),
    };
    let mut samples = Vec::with_capacity(entries.len());
    for (line, entry) in entries {
        let found = match &names {
            None => {
                let number = entry.parse::<u32>().ok();
                number
                    .filter(|&number| u64::from(number) < source.num_samples())
                    .into_iter()
                    .collect()
            }
            Some(names) => names.find(entry),
        };
        match found[..] {
            [number] => samples.push(number),
            [] => bail!(
                "{} line {line}: {entry} is no sample of this split, which has {}",
                path.display(),
                source.num_samples()
            ),
            [one, other, ..] => bail!(
                "{} line {line}: {entry} is the name of samples {one} and {other}; list names with their folders, or \
                 numbers",
                path.display()
            ),
        }
    }
    samples.sort_unstable();
    samples.dedup();
    let share = text.lines().find_map(|line| line.strip_prefix(SHARE)?.trim().parse().ok());
    let share = share.filter(|share| (f64::MIN_POSITIVE..=1.0).contains(share));
    let share = share.unwrap_or_else(|| share_of(samples.len(), source.num_samples()));
    Ok(Subset { samples, share })
}

/// The source of the listed samples.
///
/// # Errors
/// If one is not there.
pub fn open(whole: &Arc<dyn Source>, samples: &[u32]) -> Result<Arc<dyn Source>> {
    let source = SubsetSource::new(whole.clone(), samples)
        .map_err(|sample| anyhow::anyhow!("there is no sample {sample}"))?;
    Ok(Arc::new(source))
}

/// Samples and their paths, by the last part of each path.
struct Names(HashMap<String, Vec<(String, u32)>>);

impl Names {
    fn read(source: &dyn Source) -> Result<Self> {
        let mut names: HashMap<String, Vec<(String, u32)>> = HashMap::new();
        for (id, info) in (0..).zip(source.row_groups()) {
            let paths = source.read(RowGroupId(id))?.paths;
            for (sample, path) in (info.first_sample.0..).zip(paths) {
                names.entry(last_part(&path).to_owned()).or_default().push((path, sample));
            }
        }
        Ok(Self(names))
    }

    /// Samples whose paths share the most parts with `entry`, counted from the end.
    fn find(&self, entry: &str) -> Vec<u32> {
        let Some(found) = self.0.get(last_part(entry)) else { return Vec::new() };
        let shared = |path: &str| {
            path.rsplit('/').zip(entry.rsplit('/')).take_while(|(one, other)| one == other).count()
        };
        let most = found.iter().map(|(path, _)| shared(path)).max();
        found.iter().filter(|(path, _)| Some(shared(path)) == most).map(|&(_, id)| id).collect()
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use smog_pipeline::source::SyntheticSource;

    use super::*;

    fn source() -> SyntheticSource {
        SyntheticSource::new(400, 64, 16, 0)
    }

    #[test]
    fn a_subset_takes_its_share_of_every_class_and_is_the_same_again() {
        let all = labels(&source()).unwrap();
        let count = |label, samples: &[u32]| {
            samples.iter().filter(|sample| all[**sample as usize] == label).count()
        };
        let drawn = |share, seed| draw(&source(), share, seed).unwrap().samples;
        let tenth = drawn(0.1, 0);
        for label in 0..8 {
            let size = all.iter().filter(|found| **found == label).count();
            assert_eq!(count(label, &tenth), (size as f64 * 0.1).round() as usize, "{label}");
        }
        assert_eq!(tenth, drawn(0.1, 0));
        assert_ne!(tenth, drawn(0.1, 1));
        let least = drawn(1e-6, 0);
        assert!((0..8).all(|label| count(label, &least) == 1), "one of each class at least");
        assert_eq!(drawn(1.0, 0), (0..400).collect::<Vec<u32>>());
    }

    #[test]
    fn lists_are_read_back_by_number_or_name_and_refused_for_other_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        let samples = draw(&source(), 0.05, 3).unwrap();
        std::fs::write(&path, to_text(&source(), &samples)).unwrap();
        assert_eq!(read(&path, &source()).unwrap(), samples);
        let other = SyntheticSource::new(401, 64, 16, 0);
        assert!(read(&path, &other).unwrap_err().to_string().contains("other data"));
        std::fs::write(&path, "7.jpg\nanywhere/3.jpg\n").unwrap();
        assert_eq!(read(&path, &source()).unwrap().samples, [3, 7]);
        std::fs::write(&path, "7\n\n400\n").unwrap();
        let message = read(&path, &source()).unwrap_err().to_string();
        assert!(message.contains("line 3: 400 is no sample"), "{message}");
    }

    #[test]
    fn the_share_asked_for_decides_and_published_lists_are_known_by_their_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        // One of each of eight classes is 2 % of the samples, though 1 % was asked for.
        let subset = draw(&source(), 0.01, 0).unwrap();
        std::fs::write(&path, to_text(&source(), &subset)).unwrap();
        assert_eq!(read(&path, &source()).unwrap(), subset);
        assert_eq!([12_811, 128_116].map(|listed| share_of(listed, 1_281_167)), PUBLISHED);
        assert_eq!(share_of(200, 400), 0.5);
    }

    #[test]
    fn of_files_with_the_same_name_the_one_in_the_same_folder_is_taken() {
        let paths = [("cat/1.png", 0), ("dog/1.png", 1), ("dog/2.png", 2)];
        let mut names: HashMap<String, Vec<(String, u32)>> = HashMap::new();
        for (path, sample) in paths {
            names.entry(last_part(path).to_owned()).or_default().push((path.to_owned(), sample));
        }
        let names = Names(names);
        assert_eq!(names.find("train/dog/1.png"), [1]);
        assert_eq!(names.find("cat/1.png"), [0]);
        assert_eq!(names.find("1.png"), [0, 1]);
        assert_eq!(names.find("elsewhere/2.png"), [2]);
        assert!(names.find("3.png").is_empty());
    }
}
