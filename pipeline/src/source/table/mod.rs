//! Row groups from Parquet files with an image column, as Hugging Face `datasets` writes them, read in place.
//!
//! Nothing is known of the images before they are read: sizes come from their headers with the row group. The
//! file's row groups are ours; one that is too large is read in parts, each a run of pages of the image column.

mod columns;
mod file;
mod pages;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use self::columns::Columns;
use self::file::{Part, TableFile, table};
use self::pages::Positioned;
use super::error::{OpenError, unchanged};
use super::probe;
use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::sample::{RowGroupId, SampleId};

/// Row groups that are looked at when the files are opened, and rows of each.
const LOOKED_AT_GROUPS: usize = 8;
const LOOKED_AT_ROWS: u32 = 8;
/// Classes that numbers may name.
const MAX_CLASSES: i64 = 1 << 20;

/// Parquet files with images, as one split.
pub struct TableSource {
    files: Vec<TableFile>,
    columns: Columns,
    groups: Vec<RowGroupInfo>,
    /// Which rows of which file, by [`RowGroupId`].
    parts: Vec<Part>,
    classes: Vec<String>,
    digest: String,
    max_pixels: u64,
}

/// Labels and names of some rows.
pub(crate) struct TableFacts {
    /// -1 where there is none.
    pub(crate) labels: Vec<i64>,
    pub(crate) paths: Vec<String>,
}

impl TableSource {
    /// Opens the files in the order given: reads their footers, a few of their images, and all labels where
    /// the file does not say how many classes there are.
    ///
    /// # Errors
    /// If a file is no readable Parquet, has no image column or no image bytes, or a label column of another
    /// type, or the files differ in columns or classes.
    pub fn open(files: &[PathBuf]) -> Result<Self, OpenError> {
        let mut digest = blake3::Hasher::new();
        let (mut opened, mut parts) = (Vec::new(), Vec::new());
        let mut columns: Option<Columns> = None;
        for (number, path) in files.iter().enumerate() {
            let (file, found) = TableFile::open(path, number as u32, &mut digest, &mut parts)?;
            let first = columns.get_or_insert_with(|| found.clone());
            if *first != found {
                let problem = format!(
                    "its image and label columns or class names are not those of {}",
                    files[0].display()
                );
                return Err(table(path, problem));
            }
            opened.push(file);
        }
        let no_files = || table(Path::new(""), "there are no files".to_owned());
        let columns = columns.ok_or_else(no_files)?;
        let (mut groups, mut first_sample) = (Vec::new(), 0u32);
        for part in &parts {
            let first = SampleId(first_sample);
            groups.push(RowGroupInfo { first_sample: first, rows: part.rows, bytes: part.bytes });
            first_sample = first_sample.checked_add(part.rows).ok_or_else(|| {
                table(&files[0], "there are more rows than can be numbered".to_owned())
            })?;
        }
        if groups.is_empty() {
            return Err(table(&files[0], "it has no rows".to_owned()));
        }
        let classes = columns.names.clone();
        let digest = digest.finalize().to_hex().to_string();
        let mut source =
            Self { files: opened, columns, groups, parts, classes, digest, max_pixels: 0 };
        if source.columns.label.is_some() && source.classes.is_empty() {
            source.classes = source.numbered_classes()?;
        }
        source.max_pixels = source.expected_pixels()?;
        Ok(source)
    }

    /// Classes by number, where labels have no names.
    fn numbered_classes(&self) -> Result<Vec<String>, OpenError> {
        let mut most = -1;
        for number in 0..self.parts.len() {
            let group = RowGroupId(number as u32);
            most = self.facts_unchecked(group)?.labels.into_iter().fold(most, i64::max);
        }
        if most >= MAX_CLASSES {
            let problem =
                format!("a label is {most}, expected numbers of classes below {MAX_CLASSES}");
            return Err(table(&self.files[0].path, problem));
        }
        Ok((0..=most).map(|class| class.to_string()).collect())
    }

    /// Looks at some images, and makes sure that there are any.
    fn expected_pixels(&self) -> Result<u64, OpenError> {
        let mut seen = Vec::new();
        for number in probe::spread(self.parts.len(), LOOKED_AT_GROUPS) {
            let part =
                Part { rows: self.parts[number].rows.min(LOOKED_AT_ROWS), ..self.parts[number] };
            let batch = self.batch(part, &[self.columns.bytes()])?;
            let images = self.images(&batch).map_err(|problem| self.damaged(part, problem))?;
            seen.push(images);
        }
        let any = seen.iter().any(|images| images.null_count() < images.len());
        if !any {
            return Err(table(
                &self.files[0].path,
                format!(
                    "column `{}` holds no image bytes (only paths of files, as it seems); write the file with the \
                     images embedded, as `push_to_hub` and `save_to_disk` do, or shard the folder of images",
                    self.columns.image
                ),
            ));
        }
        Ok(probe::max_pixels(seen.iter().flat_map(|images| images.iter().flatten())))
    }

    /// Labels and names of a row group, without its images.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) fn facts(&self, group: RowGroupId) -> Result<TableFacts, SourceError> {
        let facts = self.facts_unchecked(group)?;
        self.check_labels(group, &facts.labels)?;
        Ok(facts)
    }

    /// Time of change of each file in seconds and nanoseconds.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (i64, i64)> {
        self.files.iter().map(|file| file.stamp.changed)
    }

    fn facts_unchecked(&self, group: RowGroupId) -> Result<TableFacts, SourceError> {
        let part = self.part(group)?;
        let columns = self.columns.facts();
        if columns.is_empty() {
            return Ok(self.rows_without(part));
        }
        let batch = self.batch(part, &columns)?;
        self.batch_facts(part, &batch).map_err(|problem| self.damaged(part, problem))
    }

    /// Rows of which nothing is known.
    fn rows_without(&self, part: Part) -> TableFacts {
        let paths = (0..part.rows).map(|row| self.row_name(part, row)).collect();
        TableFacts { labels: vec![-1; part.rows as usize], paths }
    }

    fn batch_facts(&self, part: Part, batch: &RecordBatch) -> Result<TableFacts, String> {
        let mut facts = self.rows_without(part);
        if let Some(label) = &self.columns.label {
            let column =
                batch.column_by_name(label).ok_or_else(|| format!("it has no `{label}`"))?;
            facts.labels =
                labels(column).map_err(|found| format!("column `{label}` is {found}"))?;
        }
        if self.columns.has_path
            && let Some(paths) = self.image_part(batch, "path").and_then(|a| a.as_string_view_opt())
        {
            for (path, found) in facts.paths.iter_mut().zip(paths) {
                if let Some(found) = found {
                    found.clone_into(path);
                }
            }
        }
        Ok(facts)
    }

    /// What stands for the name of an image that has none.
    fn row_name(&self, part: Part, row: u32) -> String {
        let path = &self.files[part.file as usize].path;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}/{}/{}", part.row_group, part.first_row + row)
    }

    fn image_part<'a>(&self, batch: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
        batch.column_by_name(&self.columns.image)?.as_struct_opt()?.column_by_name(name)
    }

    fn images(&self, batch: &RecordBatch) -> Result<BinaryViewArray, String> {
        self.image_part(batch, "bytes")
            .and_then(|bytes| bytes.as_binary_view_opt().cloned())
            .ok_or_else(|| format!("it has no `{}.bytes`", self.columns.image))
    }

    fn part(&self, group: RowGroupId) -> Result<Part, SourceError> {
        self.parts.get(group.0 as usize).copied().ok_or_else(|| SourceError::Damaged {
            shard: self.files[0].path.clone(),
            row_group: group.0,
            problem: format!("there are {} row groups", self.parts.len()),
        })
    }

    fn damaged(&self, part: Part, problem: String) -> SourceError {
        let shard = self.files[part.file as usize].path.clone();
        SourceError::Damaged { shard, row_group: part.row_group, problem }
    }

    fn check_labels(&self, group: RowGroupId, labels: &[i64]) -> Result<(), SourceError> {
        let num_classes = self.classes.len() as i64;
        match labels.iter().position(|&label| label >= num_classes || label < -1) {
            None => Ok(()),
            Some(row) => {
                let part = self.part(group)?;
                let row_in_group = part.first_row as usize + row;
                let problem = format!(
                    "row {row_in_group} has label {}, the file names {num_classes} classes",
                    labels[row]
                );
                Err(self.damaged(part, problem))
            }
        }
    }

    /// The given columns of some rows.
    fn batch(&self, part: Part, columns: &[String]) -> Result<RecordBatch, SourceError> {
        let TableFile { path, metadata, stamp } = &self.files[part.file as usize];
        let row_group = part.row_group;
        let io = |source| SourceError::Io { shard: path.clone(), source };
        let parquet = |source| SourceError::Parquet { shard: path.clone(), row_group, source };
        let file = File::open(path).map_err(io)?;
        unchanged(path, *stamp, &file)?;
        let file = Positioned::new(file).map_err(io)?;
        let names = columns.iter().map(String::as_str);
        let mask = ProjectionMask::columns(metadata.parquet_schema(), names);
        let file = file.with_pages(known_pages(metadata.metadata(), row_group as usize, &mask));
        let rows = part.rows as usize;
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                .with_row_groups(vec![row_group as usize])
                .with_projection(mask)
                .with_batch_size(rows);
        let whole = metadata.metadata().row_group(row_group as usize).num_rows();
        if i64::from(part.rows) < whole {
            let selection =
                vec![RowSelector::skip(part.first_row as usize), RowSelector::select(rows)];
            builder = builder.with_row_selection(RowSelection::from(selection));
        }
        let mut reader = builder.build().map_err(parquet)?;
        reader
            .next()
            .transpose()
            .map_err(|error| parquet(ParquetError::from(error)))?
            .filter(|batch| batch.num_rows() == rows)
            .ok_or_else(|| self.damaged(part, format!("it does not hold its {rows} rows")))
    }
}

impl Source for TableSource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn max_pixels(&self) -> u64 {
        self.max_pixels
    }

    fn held_bytes(&self) -> u64 {
        let footers = self.files.iter().map(|file| file.metadata.metadata().memory_size() as u64);
        let lists = size_of_val(&*self.groups) + size_of_val(&*self.parts);
        footers.sum::<u64>() + lists as u64
    }

    fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
        Ok(self.facts(group)?.labels)
    }

    fn file(&self, group: RowGroupId) -> Option<&Path> {
        Some(&self.files[self.parts.get(group.0 as usize)?.file as usize].path)
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let part = self.part(group)?;
        let mut columns = self.columns.facts();
        columns.push(self.columns.bytes());
        let batch = self.batch(part, &columns)?;
        let damaged = |problem| self.damaged(part, problem);
        let TableFacts { labels, paths } = self.batch_facts(part, &batch).map_err(damaged)?;
        self.check_labels(group, &labels)?;
        // A row without an image has no bytes, which the decoder refuses: it is replaced as damaged ones are.
        let (views, buffers, _) = self.images(&batch).map_err(damaged)?.into_parts();
        let images = BinaryViewArray::try_new(views, buffers, None)
            .map_err(|error| damaged(error.to_string()))?;
        let metas = (0..images.len()).map(|row| probe::meta(images.value(row))).collect();
        let first_sample = self.groups[group.0 as usize].first_sample;
        Ok(RowGroup { id: group, first_sample, images, metas, labels, paths })
    }
}

/// Where the pages of columns lie whose places are known; their dictionaries are at the columns' beginnings.
fn known_pages(metadata: &ParquetMetaData, row_group: usize, mask: &ProjectionMask) -> Vec<u64> {
    let index = metadata.page_index_for_row_group(row_group);
    let mut pages = Vec::new();
    for (leaf, column) in metadata.row_group(row_group).columns().iter().enumerate() {
        if mask.leaf_included(leaf)
            && let Some(found) = index.page_locations(leaf)
        {
            pages.push(column.byte_range().0);
            pages.extend(found.iter().map(|page| page.offset as u64));
        }
    }
    pages
}

/// Labels as numbers; -1 where there is none.
fn labels(column: &ArrayRef) -> Result<Vec<i64>, String> {
    if let Some(labels) = column.as_primitive_opt::<Int64Type>() {
        return Ok(labels.iter().map(|label| label.unwrap_or(-1)).collect());
    }
    match column.as_primitive_opt::<Int32Type>() {
        Some(labels) => Ok(labels.iter().map(|label| label.map_or(-1, i64::from)).collect()),
        None => Err(column.data_type().to_string()),
    }
}

#[cfg(test)]
mod tests;
