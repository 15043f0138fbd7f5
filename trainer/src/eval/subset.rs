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

/// A share of each class's samples, at least one of each: drawn from `seed`, the class and nothing else.
///
/// # Errors
/// If a sample has no label or the source cannot be read.
pub fn draw(source: &dyn Source, fraction: f64, seed: u64) -> Result<Vec<u32>> {
    let mut by_class: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (sample, label) in (0..).zip(labels(source)?) {
        ensure!(label >= 0, "sample {sample} has no label, so no share of its class can be drawn");
        by_class.entry(label).or_default().push(sample);
    }
    let mut chosen = Vec::new();
    for (class, mut samples) in by_class {
        let count = ((samples.len() as f64 * fraction).round() as usize).clamp(1, samples.len());
        Draw::new(seed, Domain::Selection, [1, class as u32, 0, 0, 0]).shuffle(&mut samples);
        chosen.extend_from_slice(&samples[..count]);
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// The list as text: the data that the numbers belong to, then one sample number per line.
pub fn to_text(source: &dyn Source, samples: &[u32]) -> String {
    let mut text = format!(
        "{DATA}{}\n# {} of {} samples, numbered in the order of the split from 0\n",
        source.digest(),
        samples.len(),
        source.num_samples()
    );
    for sample in samples {
        let _ = writeln!(text, "{sample}");
    }
    text
}

/// Reads a list: sample numbers, or names of files as in SimCLR's lists for ImageNet. Names are looked up by the last
/// part of each sample's path, which reads the whole split once.
///
/// # Errors
/// If the file cannot be read, belongs to other data, or names a sample that is not there.
pub fn read(path: &Path, source: &dyn Source) -> Result<Vec<u32>> {
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
    let names = if entries.iter().all(|(_, entry)| entry.parse::<u32>().is_ok()) {
        HashMap::new()
    } else {
        names(source)?
    };
    let mut samples = Vec::with_capacity(entries.len());
    for (line, entry) in entries {
        let number = if names.is_empty() {
            entry.parse::<u32>().ok().filter(|&number| u64::from(number) < source.num_samples())
        } else {
            names.get(last_part(entry)).copied()
        };
        match number {
            Some(number) => samples.push(number),
            None => bail!(
                "{} line {line}: {entry} is no sample of this split, which has {}",
                path.display(),
                source.num_samples()
            ),
        }
    }
    samples.sort_unstable();
    samples.dedup();
    Ok(samples)
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

fn names(source: &dyn Source) -> Result<HashMap<String, u32>> {
    let mut names = HashMap::new();
    for (id, info) in (0..).zip(source.row_groups()) {
        let paths = source.read(RowGroupId(id))?.paths;
        for (sample, path) in (info.first_sample.0..).zip(paths) {
            names.insert(last_part(&path).to_owned(), sample);
        }
    }
    Ok(names)
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
        let tenth = draw(&source(), 0.1, 0).unwrap();
        for label in 0..8 {
            let size = all.iter().filter(|found| **found == label).count();
            assert_eq!(count(label, &tenth), (size as f64 * 0.1).round() as usize, "{label}");
        }
        assert_eq!(tenth, draw(&source(), 0.1, 0).unwrap());
        assert_ne!(tenth, draw(&source(), 0.1, 1).unwrap());
        let least = draw(&source(), 1e-6, 0).unwrap();
        assert!((0..8).all(|label| count(label, &least) == 1), "one of each class at least");
        assert_eq!(draw(&source(), 1.0, 0).unwrap(), (0..400).collect::<Vec<u32>>());
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
        assert_eq!(read(&path, &source()).unwrap(), [3, 7]);
        std::fs::write(&path, "7\n\n400\n").unwrap();
        let message = read(&path, &source()).unwrap_err().to_string();
        assert!(message.contains("line 3: 400 is no sample"), "{message}");
    }
}
