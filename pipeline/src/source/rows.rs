//! From the columns of a shard to the rows of a [`RowGroup`], and back to the names they have.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    StringArray, StringViewArray,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};

use super::{RowGroup, RowGroupInfo};
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, RowGroupId, Subsampling};

/// The columns that are read, by their paths; others may be there and are left alone.
pub(super) const COLUMNS: [&str; 10] = [
    "image.bytes",
    "image.path",
    "label",
    "width",
    "height",
    "components",
    "subsampling",
    "orientation",
    "progressive",
    "flags",
];

/// Whether a file has the columns that are read, with their types.
pub(super) fn check_columns(schema: &Schema, labelled: bool) -> Result<(), String> {
    let expect = |name: &str, found: Option<&DataType>, wanted: &[DataType]| match found {
        Some(found) if wanted.contains(found) => Ok(()),
        Some(found) => Err(format!("column `{name}` is {found}, expected {}", wanted[0])),
        None => Err(format!("it has no column `{name}`")),
    };
    let column = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type());
    let Some(DataType::Struct(parts)) = column("image") else {
        return Err("it has no column `image` of type struct{bytes, path}".to_owned());
    };
    let part = |name: &str| parts.find(name).map(|(_, field)| field.data_type());
    expect(
        "image.bytes",
        part("bytes"),
        &[DataType::Binary, DataType::BinaryView, DataType::LargeBinary],
    )?;
    expect("image.path", part("path"), &[DataType::Utf8, DataType::Utf8View, DataType::LargeUtf8])?;
    if labelled {
        expect("label", column("label"), &[DataType::Int64])?;
    }
    for name in ["width", "height", "components", "orientation", "flags"] {
        expect(name, column(name), &[DataType::Int32])?;
    }
    expect("subsampling", column("subsampling"), &[DataType::Utf8])?;
    expect("progressive", column("progressive"), &[DataType::Boolean])
}

/// What is known of the rows of a row group besides the images.
#[derive(Clone, Debug)]
pub struct RowFacts {
    /// One per row; without the images their lengths are not known, `bytes` is 0.
    pub metas: Vec<ImageMeta>,
    /// Label per row; -1 where there is none.
    pub labels: Vec<i64>,
    /// Path of the original file per row.
    pub paths: Vec<String>,
}

/// Takes the rows of one row group apart.
pub(super) fn row_group(
    id: RowGroupId,
    info: RowGroupInfo,
    batch: &RecordBatch,
    num_classes: usize,
) -> Result<RowGroup, String> {
    let RowFacts { mut metas, labels, paths } = facts(batch, num_classes)?;
    let images: BinaryViewArray =
        full("image.bytes", part(batch, "bytes")?, |a| a.as_binary_view_opt().cloned())?;
    let mut bytes = 0;
    for (row, meta) in metas.iter_mut().enumerate() {
        meta.bytes = images.value(row).len() as u32;
        bytes += u64::from(meta.bytes);
    }
    if bytes != info.bytes {
        return Err(format!("it holds {bytes} image bytes, its manifest says {}", info.bytes));
    }
    Ok(RowGroup { id, first_sample: info.first_sample, images, metas, labels, paths })
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))
}

fn part<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    column(batch, "image")?
        .as_struct_opt()
        .and_then(|image| image.column_by_name(name))
        .ok_or_else(|| format!("it has no column `image.{name}`"))
}

/// Takes everything but the images apart.
pub(super) fn facts(batch: &RecordBatch, num_classes: usize) -> Result<RowFacts, String> {
    let paths: StringViewArray =
        full("image.path", part(batch, "path")?, |a| a.as_string_view_opt().cloned())?;
    let number = |name: &str| -> Result<Int32Array, String> {
        full(name, column(batch, name)?, |a| a.as_primitive_opt::<Int32Type>().cloned())
    };
    let (widths, heights) = (number("width")?, number("height")?);
    let (components, orientations) = (number("components")?, number("orientation")?);
    let flags = number("flags")?;
    let subsamplings: StringArray =
        full("subsampling", column(batch, "subsampling")?, |a| a.as_string_opt::<i32>().cloned())?;
    let progressives: BooleanArray =
        full("progressive", column(batch, "progressive")?, |a| a.as_boolean_opt().cloned())?;
    let labels = if num_classes == 0 {
        vec![-1; batch.num_rows()]
    } else {
        let labels: Int64Array =
            full("label", column(batch, "label")?, |a| a.as_primitive_opt::<Int64Type>().cloned())?;
        labels.values().to_vec()
    };
    if let Some(row) = labels.iter().position(|&label| label >= num_classes as i64 || label < -1) {
        return Err(format!(
            "row {row} has label {}, its manifest names {num_classes} classes",
            labels[row]
        ));
    }
    let mut metas = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let (width, height) = (widths.value(row), heights.value(row));
        if width <= 0 || height <= 0 {
            return Err(format!("row {row} says it is {width}x{height} pixels"));
        }
        let flags = ImageFlags(flags.value(row) as u32);
        metas.push(ImageMeta {
            format: if flags.contains(ImageFlags::PNG) {
                ImageFormat::Png
            } else if flags.contains(ImageFlags::WEBP) {
                ImageFormat::WebP
            } else {
                ImageFormat::Jpeg
            },
            width: width as u32,
            height: height as u32,
            components: u8::try_from(components.value(row))
                .map_err(|_| format!("row {row} says {} components", components.value(row)))?,
            subsampling: Subsampling::from_name(subsamplings.value(row)),
            orientation: u8::try_from(orientations.value(row))
                .ok()
                .filter(|value| (1..=8).contains(value))
                .ok_or_else(|| format!("row {row} says orientation {}", orientations.value(row)))?,
            progressive: progressives.value(row),
            flags,
            bytes: 0,
        });
    }
    Ok(RowFacts { metas, labels, paths: paths.iter().flatten().map(str::to_owned).collect() })
}

/// A column as the array type that it should have, without missing values.
fn full<A: Array>(
    name: &str,
    array: &ArrayRef,
    cast: impl FnOnce(&ArrayRef) -> Option<A>,
) -> Result<A, String> {
    let array = cast(array).ok_or_else(|| format!("column `{name}` is {}", array.data_type()))?;
    match (0..array.len()).find(|&row| array.is_null(row)) {
        Some(row) => Err(format!("row {row} has no `{name}`")),
        None => Ok(array),
    }
}
