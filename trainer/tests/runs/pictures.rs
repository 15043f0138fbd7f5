//! Parquet files of the tiny data, as Hugging Face `datasets` writes them, with what data of others may lack.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::sample::RowGroupId;
use smog_trainer::data::DataSet;

use crate::support::data;

/// What a file holds.
pub(crate) struct Pictures<'a> {
    /// Samples, up to 60.
    pub(crate) count: usize,
    /// Label of each sample; none where it has none.
    pub(crate) label: &'a dyn Fn(i64) -> Option<i64>,
    /// Samples that are cut short, so that they cannot be decoded.
    pub(crate) bad: &'a [usize],
    /// Samples of a row group.
    pub(crate) rows: usize,
}

impl Default for Pictures<'_> {
    fn default() -> Self {
        Self { count: 60, label: &|row| Some(row % 3), bad: &[], rows: 60 }
    }
}

impl Pictures<'_> {
    pub(crate) fn write(&self, path: &Path) {
        let source = data().open("train").unwrap();
        let mut images: Vec<Vec<u8>> = Vec::new();
        for group in 0..source.row_groups().len() as u32 {
            let group = source.read(RowGroupId(group)).unwrap();
            images.extend((0..group.rows()).map(|row| group.encoded(row).to_vec()));
        }
        images.truncate(self.count);
        self.bad.iter().for_each(|&row| images[row].truncate(60));
        let labels: Int64Array = (0..images.len() as i64).map(self.label).collect();
        let bytes: BinaryArray = images.iter().map(Some).collect();
        let paths: StringArray = images.iter().map(|_| Some("")).collect();
        let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
        let images = StructArray::from(vec![
            (field("bytes", DataType::Binary), Arc::new(bytes) as ArrayRef),
            (field("path", DataType::Utf8), Arc::new(paths)),
        ]);
        let columns: [(_, ArrayRef); 2] =
            [("image", Arc::new(images)), ("label", Arc::new(labels))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = std::fs::File::create(path).unwrap();
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(self.rows)).build();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

/// Such files, read as they lie.
pub(crate) fn in_place(path: &Path) -> DataSet {
    DataSet::find(path, &RemoteOptions::default(), &()).unwrap()
}
