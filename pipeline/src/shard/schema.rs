//! The Parquet schema of a shard, as Hugging Face `datasets` writes one, and the writer settings for it.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};

/// Schema key under which `datasets` looks for its features.
const FEATURES_KEY: &str = "huggingface";
/// Key of this program's own facts on a shard.
const SMOG_KEY: &str = "smog";

/// Name and type of the number columns behind image, label and id.
const FACTS: [(&str, DataType, &str); 7] = [
    ("width", DataType::Int32, "int32"),
    ("height", DataType::Int32, "int32"),
    ("components", DataType::Int32, "int32"),
    ("subsampling", DataType::Utf8, "string"),
    ("orientation", DataType::Int32, "int32"),
    ("progressive", DataType::Boolean, "bool"),
    ("flags", DataType::Int32, "int32"),
];

/// Parts of the `image` column.
pub(super) fn image_parts() -> Fields {
    Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ])
}

/// Schema of a split; `label` is there only with class names. Fields are nullable although nothing is ever
/// null: `datasets` compares fields with its own, which are, and falls back to guessing where they differ.
pub(super) fn schema(classes: &[String]) -> Schema {
    let mut fields = vec![Field::new("image", DataType::Struct(image_parts()), true)];
    let mut features = Map::new();
    features.insert("image".to_owned(), json!({"_type": "Image"}));
    if !classes.is_empty() {
        fields.push(Field::new("label", DataType::Int64, true));
        features.insert("label".to_owned(), json!({"names": classes, "_type": "ClassLabel"}));
    }
    fields.push(Field::new("id", DataType::Int64, true));
    features.insert("id".to_owned(), json!({"dtype": "int64", "_type": "Value"}));
    for (name, data_type, dtype) in FACTS {
        fields.push(Field::new(name, data_type, true));
        features.insert(name.to_owned(), json!({"dtype": dtype, "_type": "Value"}));
    }
    let features = json!({"info": {"features": Value::Object(features)}}).to_string();
    Schema::new_with_metadata(fields, HashMap::from([(FEATURES_KEY.to_owned(), features)]))
}

/// Writer settings. Image bytes are compressed already and never searched, so dictionary, compression and
/// statistics would only cost; the other columns are small and get all three. Row groups are cut by the
/// writer itself, so its own limits are off.
pub(super) fn properties(created_by: &str, schema: &Schema) -> WriterProperties {
    let bytes = ColumnPath::new(vec!["image".to_owned(), "bytes".to_owned()]);
    let features = schema.metadata().get(FEATURES_KEY).cloned();
    WriterProperties::builder()
        .set_created_by(created_by.to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(bytes.clone(), false)
        .set_column_statistics_enabled(bytes, EnabledStatistics::None)
        // Readers that know no Arrow schema find the features here.
        .set_key_value_metadata(Some(vec![KeyValue::new(FEATURES_KEY.to_owned(), features)]))
        .build()
}

/// This program's own facts on a shard, for its footer.
pub(super) fn shard_facts(facts: &Value) -> KeyValue {
    KeyValue::new(SMOG_KEY.to_owned(), facts.to_string())
}
