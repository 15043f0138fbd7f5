//! Which columns of a Parquet file hold images and labels, by its schema and the features that Hugging Face
//! `datasets` writes beside it.

use arrow::datatypes::{DataType, Schema};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use serde_json::Value;

/// Names of image columns, the usual ones first.
const IMAGE_NAMES: [&str; 2] = ["image", "img"];
/// Names of label columns where no feature says which it is.
const LABEL_NAMES: [&str; 2] = ["label", "labels"];
/// Key of the features in the file's metadata.
const FEATURES_KEY: &str = "huggingface";

/// The columns that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// A struct of `bytes` and, as a rule, `path`.
    pub(super) image: String,
    pub(super) has_path: bool,
    pub(super) label: Option<String>,
    /// Class names; empty where labels are bare numbers or there are none.
    pub(super) names: Vec<String>,
}

impl Columns {
    /// Finds the columns, or says in words what was found and what was expected.
    pub(super) fn find(metadata: &ParquetMetaData) -> Result<Result<Self, String>, ParquetError> {
        let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
        let features = metadata
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .find(|entry| entry.key == FEATURES_KEY)
            .and_then(|entry| serde_json::from_str::<Value>(entry.value.as_ref()?).ok())
            .map_or(Value::Null, |mut value| value["info"]["features"].take());
        Ok(Self::of(&schema, &features))
    }

    fn of(schema: &Schema, features: &Value) -> Result<Self, String> {
        let (image, has_path) = image(schema)?;
        let class_label = |name: &str| features[name]["_type"] == "ClassLabel";
        let columns: Vec<&str> =
            schema.fields().iter().map(|field| field.name().as_str()).collect();
        let usual = |name: &&str| LABEL_NAMES.contains(name);
        let mut labelled = columns.iter().copied().filter(|name| class_label(name));
        let label = labelled
            .clone()
            .find(usual)
            .or_else(|| labelled.next())
            .or_else(|| columns.iter().copied().find(usual))
            .map(str::to_owned);
        let mut names = Vec::new();
        if let Some(label) = &label {
            match schema.field_with_name(label).map(|field| field.data_type()) {
                Ok(DataType::Int64 | DataType::Int32) => {}
                Ok(other) => {
                    return Err(format!(
                        "column `{label}` is {other}, expected the numbers of classes (ClassLabel: int64); \
                         write it with cast_column(\"{label}\", ClassLabel(names=[...])), or leave it out"
                    ));
                }
                Err(error) => return Err(error.to_string()),
            }
            if let Some(found) = features[label]["names"].as_array() {
                names = found.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                if names.len() != found.len() {
                    return Err(format!("a class name of column `{label}` is no text"));
                }
            }
        }
        Ok(Self { image, has_path, label, names })
    }

    /// Paths of the columns that hold labels and names, without the image bytes.
    pub(super) fn facts(&self) -> Vec<String> {
        let path = self.has_path.then(|| format!("{}.path", self.image));
        path.into_iter().chain(self.label.clone()).collect()
    }

    /// Path of the column of image bytes.
    pub(super) fn bytes(&self) -> String {
        format!("{}.bytes", self.image)
    }
}

/// The image column, and whether it has paths.
fn image(schema: &Schema) -> Result<(String, bool), String> {
    let binary = |kind: &DataType| {
        matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    };
    let parts = |name: &str| match schema.field_with_name(name).map(|field| field.data_type()) {
        Ok(DataType::Struct(parts)) => Some(parts),
        _ => None,
    };
    let has_bytes = |name: &&str| {
        parts(name)
            .and_then(|parts| parts.find("bytes"))
            .is_some_and(|(_, bytes)| binary(bytes.data_type()))
    };
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let chosen = IMAGE_NAMES
        .into_iter()
        .find(has_bytes)
        .or_else(|| columns.into_iter().find(|c| has_bytes(c)));
    let Some(name) = chosen else {
        let found: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("`{}` {}", field.name(), field.data_type()))
            .collect();
        return Err(format!(
            "it has no column of images: expected `image` or `img` as struct{{bytes: binary, path: string}} as \
             Hugging Face `datasets` writes it; found {}",
            found.join(", ")
        ));
    };
    let path = parts(name).and_then(|parts| parts.find("path"));
    let has_path = path.is_some_and(|(_, path)| {
        matches!(path.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    });
    Ok((name.to_owned(), has_path))
}

/// The schema to read with: as in the file, but bytes and paths of images as views.
pub(super) fn reading_schema(
    metadata: &ParquetMetaData,
    columns: &Columns,
) -> Result<Schema, ParquetError> {
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Struct(parts) if *field.name() == columns.image => {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|part| match part.name().as_str() {
                        "bytes" => part.as_ref().clone().with_data_type(DataType::BinaryView),
                        "path" if columns.has_path => {
                            part.as_ref().clone().with_data_type(DataType::Utf8View)
                        }
                        _ => part.as_ref().clone(),
                    })
                    .collect();
                field.as_ref().clone().with_data_type(DataType::Struct(parts.into()))
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    Ok(Schema::new(fields))
}
