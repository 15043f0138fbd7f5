//! What the rows of a split say, gathered without reading an image.

use std::collections::BTreeMap;

use smog_pipeline::codec::probe;
use smog_pipeline::sample::{ImageFormat, ImageMeta, RowGroupId};
use smog_pipeline::source::{ParquetSource, Source, SourceError};
use smog_terminal::Progress;

/// Upper edges of the histogram of short sides, in pixels.
const SHORT_SIDES: [u32; 9] = [32, 64, 128, 224, 256, 384, 512, 1024, 2048];

/// Counts over all rows.
#[derive(Default)]
pub(super) struct Figures {
    rows: u64,
    formats: BTreeMap<&'static str, u64>,
    subsamplings: BTreeMap<&'static str, u64>,
    components: BTreeMap<u8, u64>,
    pub(super) progressive: u64,
    pub(super) rotated: u64,
    short_sides: BTreeMap<usize, u64>,
    labels: BTreeMap<i64, u64>,
    ascending: u64,
    same_class: u64,
    last: Option<(i64, String)>,
    /// Images whose header cannot be read.
    pub(super) unreadable: u64,
    /// Smallest and largest width and height.
    pub(super) width: [u32; 2],
    pub(super) height: [u32; 2],
    pub(super) pixels: u64,
    pub(super) max_bytes: u32,
}

impl Figures {
    /// Reads all rows but their images.
    pub(super) fn gather(source: &ParquetSource, progress: &Progress) -> Result<Self, SourceError> {
        let mut figures = Self::default();
        progress.start("rows", "images", source.num_samples(), source.num_samples());
        for index in 0..source.row_groups().len() {
            let facts = source.read_facts(RowGroupId(index as u32))?;
            let rows = facts.metas.len() as u64;
            facts.metas.iter().for_each(|meta| figures.image(meta));
            for (label, path) in facts.labels.into_iter().zip(facts.paths) {
                figures.row(label, path);
            }
            progress.add(rows, rows);
        }
        progress.finish();
        Ok(figures)
    }

    /// The figures of a source without a manifest: labels of all rows, images of `groups` only, which have to be
    /// read for that.
    pub(super) fn look_at(
        source: &dyn Source,
        groups: &[RowGroupId],
        progress: &Progress,
    ) -> Result<Self, SourceError> {
        let mut figures = Self::default();
        progress.start("look at", "row groups", groups.len() as u64, groups.len() as u64);
        for &group in groups {
            let group = source.read(group)?;
            for (row, meta) in (0..).zip(&group.metas) {
                match probe(group.encoded(row)) {
                    Ok(_) => figures.image(meta),
                    Err(_) => figures.unreadable += 1,
                }
            }
            progress.add(1, 1);
        }
        progress.finish();
        for index in 0..source.row_groups().len() {
            for label in source.labels(RowGroupId(index as u32))? {
                figures.row(label, String::new());
            }
        }
        Ok(figures)
    }

    fn image(&mut self, meta: &ImageMeta) {
        let format = match meta.format {
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Png => "PNG",
            ImageFormat::WebP => "WebP",
        };
        let first = self.formats.is_empty();
        *self.formats.entry(format).or_default() += 1;
        *self.subsamplings.entry(meta.subsampling.as_str()).or_default() += 1;
        *self.components.entry(meta.components).or_default() += 1;
        self.progressive += u64::from(meta.progressive);
        self.rotated += u64::from(meta.orientation != 1);
        let short = meta.width.min(meta.height);
        let bin = SHORT_SIDES.partition_point(|&edge| edge < short);
        *self.short_sides.entry(bin).or_default() += 1;
        for (range, side) in [(&mut self.width, meta.width), (&mut self.height, meta.height)] {
            *range = if first { [side; 2] } else { [range[0].min(side), range[1].max(side)] };
        }
        self.pixels += u64::from(meta.width) * u64::from(meta.height);
        self.max_bytes = self.max_bytes.max(meta.bytes);
    }

    /// Images that were looked at and have a header.
    pub(super) fn num_images(&self) -> u64 {
        self.formats.values().sum()
    }

    fn row(&mut self, label: i64, path: String) {
        self.rows += 1;
        *self.labels.entry(label).or_default() += 1;
        if let Some((last_label, last_path)) = &self.last {
            self.ascending += u64::from(*last_path < path);
            self.same_class += u64::from(*last_label == label);
        }
        self.last = Some((label, path));
    }

    /// Formats by frequency.
    pub(super) fn formats(&self) -> Vec<(String, u64)> {
        by_frequency(self.formats.iter().map(|(name, &number)| ((*name).to_owned(), number)))
    }

    /// Chroma subsamplings by frequency.
    pub(super) fn subsamplings(&self) -> Vec<(String, u64)> {
        by_frequency(self.subsamplings.iter().map(|(name, &number)| ((*name).to_owned(), number)))
    }

    /// Numbers of colour components by frequency.
    pub(super) fn components(&self) -> Vec<(String, u64)> {
        by_frequency(self.components.iter().map(|(name, &number)| (name.to_string(), number)))
    }

    /// Histogram of the shorter sides, without empty bins at its ends.
    pub(super) fn short_sides(&self) -> Vec<(String, u64)> {
        let name = |bin: usize| match (bin.checked_sub(1), SHORT_SIDES.get(bin)) {
            (None, Some(edge)) => format!("to {edge}"),
            (Some(_), Some(edge)) => format!("{} to {edge}", SHORT_SIDES[bin - 1] + 1),
            _ => format!("above {}", SHORT_SIDES[SHORT_SIDES.len() - 1]),
        };
        let first = self.short_sides.keys().next().copied().unwrap_or(0);
        let last = self.short_sides.keys().last().copied().unwrap_or(0);
        let count = |bin| self.short_sides.get(&bin).copied().unwrap_or(0);
        (first..=last).map(|bin| (name(bin), count(bin))).collect()
    }

    /// Images per class.
    pub(super) fn classes(&self, num_classes: usize) -> Vec<u64> {
        (0..num_classes as i64).map(|label| self.labels.get(&label).copied().unwrap_or(0)).collect()
    }

    /// Share of neighbours whose names ascend.
    pub(super) fn ascending_share(&self) -> f64 {
        self.ascending as f64 / self.pairs()
    }

    /// Share of neighbours with the same label, and what a shuffle has on average; `None` without labels.
    pub(super) fn same_class_neighbours(&self) -> Option<(f64, f64)> {
        if self.labels.contains_key(&-1) {
            return None;
        }
        let rows = self.rows as f64;
        let expected = self
            .labels
            .values()
            .map(|&number| number as f64 / rows * (number as f64 - 1.0) / (rows - 1.0).max(1.0))
            .sum();
        Some((self.same_class as f64 / self.pairs(), expected))
    }

    fn pairs(&self) -> f64 {
        self.rows.saturating_sub(1).max(1) as f64
    }
}

fn by_frequency(counts: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(rows: &[(i64, &str)]) -> Figures {
        let mut figures = Figures::default();
        rows.iter().for_each(|(label, path)| figures.row(*label, (*path).to_owned()));
        figures
    }

    #[test]
    fn sorted_rows_are_told_from_mixed_ones() {
        let sorted = gathered(&[(0, "a"), (0, "b"), (1, "c"), (1, "d")]);
        assert_eq!(sorted.ascending_share(), 1.0);
        let (found, expected) = sorted.same_class_neighbours().unwrap();
        assert!((found - 2.0 / 3.0).abs() < 1e-12 && (expected - 1.0 / 3.0).abs() < 1e-12);
        let mixed = gathered(&[(0, "b"), (1, "c"), (0, "a"), (1, "d")]);
        assert_eq!(mixed.same_class_neighbours().unwrap().0, 0.0);
        assert!(gathered(&[(-1, "a"), (-1, "b")]).same_class_neighbours().is_none());
    }

    #[test]
    fn histograms_begin_and_end_with_bins_that_hold_something() {
        let mut figures = Figures { short_sides: [(1, 5), (3, 2)].into(), ..Figures::default() };
        let names: Vec<String> = figures.short_sides().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["33 to 64", "65 to 128", "129 to 224"]);
        figures.short_sides = [(9, 1)].into();
        assert_eq!(figures.short_sides(), [("above 2048".to_owned(), 1)]);
    }
}
