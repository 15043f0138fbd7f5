//! Features of a split as a Parquet file, written as they are made.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{FixedSizeListArray, Float32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use smog_model::Backbone;
use smog_pipeline::source::Source;
use tch::{Kind, Tensor};

use crate::checkpoint::replace;
use crate::eval::{EvalStream, Progress};
use crate::export::About;
use crate::images::Normalizer;

/// Bytes of features in a row group, which is what the writer holds at a time.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// What is written where.
pub struct FeatureFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Which encoder.
    pub about: &'a About,
    /// Name of the split.
    pub split: &'a str,
}

/// Encodes every sample of `source` into the file: whole, or not there. Gives the number of rows: samples that cannot
/// be decoded have none.
///
/// # Errors
/// If the source cannot be read, libtorch refuses an operation, the disk refuses, or a resumable stream was
/// interrupted.
pub fn write_features(
    file: &FeatureFile<'_>,
    source: Arc<dyn Source>,
    stream: &EvalStream,
    normalizer: &Normalizer,
    backbone: &Backbone,
    progress: Progress<'_>,
) -> Result<u64> {
    let dim = file.about.encoder.feature_dim();
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let schema = Arc::new(Schema::new(vec![
        Field::new("sample", DataType::UInt32, false),
        Field::new("label", DataType::Int64, true),
        Field::new("features", DataType::FixedSizeList(item.clone(), dim as i32), false),
    ]));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some((ROW_GROUP_BYTES / (4 * dim as usize)).max(1)))
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata(file, &*source)))
        .build();
    let mut num_rows = 0;
    replace(file.path, |temporary| -> Result<()> {
        let mut writer =
            ArrowWriter::try_new(File::create(temporary)?, schema.clone(), Some(properties))?;
        let encode = |images: &Tensor| backbone.encode(images);
        stream.for_each_part(source, normalizer, &encode, progress, &mut |part| {
            // A sample that stands in for one that cannot be decoded has its own row already.
            let rows: Vec<usize> =
                (0..part.samples.len()).filter(|&row| part.samples[row].is_some()).collect();
            let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let values = smog_model::guard(|| -> Result<Vec<f32>> {
                let chosen = part.features.index_select(0, &Tensor::from_slice(&index));
                Ok(Vec::try_from(chosen.to_kind(Kind::Float).contiguous().view(-1))?)
            })??;
            let samples: UInt32Array = rows.iter().map(|&row| part.samples[row]).collect();
            let labels: Int64Array = rows
                .iter()
                .map(|&row| Some(part.labels[row]).filter(|&label| label >= 0))
                .collect();
            let features = FixedSizeListArray::try_new(
                item.clone(),
                dim as i32,
                Arc::new(Float32Array::from(values)),
                None,
            )?;
            let columns: Vec<arrow::array::ArrayRef> =
                vec![Arc::new(samples), Arc::new(labels), Arc::new(features)];
            writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
            num_rows += rows.len() as u64;
            Ok(())
        })?;
        writer.close()?;
        Ok(())
    })?;
    Ok(num_rows)
}

fn metadata(file: &FeatureFile<'_>, source: &dyn Source) -> Vec<KeyValue> {
    let About { encoder, branch, step, size, resize, apply_exif } = file.about;
    let facts = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "encoder": encoder,
        "branch": branch,
        "step": step,
        "protocol": format!("pooled features of the centre crop of {size} pixels after a resize to {resize}"),
        "apply_exif": apply_exif,
        "split": file.split,
        "data": source.digest(),
        "classes": source.classes(),
    });
    vec![KeyValue::new("smog".to_owned(), facts.to_string())]
}
