//! Where a Parquet footer says that columns lie.

use parquet::file::metadata::ParquetMetaData;

/// Length of the footer and the mark, at the end of every Parquet file.
pub(super) const TAIL_BYTES: u64 = 8;

/// Holds what the footer says against the length of the file, as the Parquet reader relies on it: it panics at a
/// place below 0. Found by fuzzing.
pub(super) fn check(metadata: &ParquetMetaData, file_bytes: u64) -> Result<(), String> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = group.num_rows();
        if u32::try_from(rows).is_err() {
            return Err(format!("row group {number} says that it has {rows} rows"));
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end = start.checked_add(column.compressed_size());
            let fits = start >= 0
                && column.compressed_size() >= 0
                && column.data_page_offset() >= 0
                && column.uncompressed_size() >= 0
                && end.is_some_and(|end| end as u64 <= file_bytes.saturating_sub(TAIL_BYTES));
            if !fits {
                return Err(format!(
                    "column `{}` of row group {number} has {} bytes at {start}, beyond the file's {file_bytes}: \
                     it was cut off or is damaged",
                    column.column_path().string(),
                    column.compressed_size()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Type;
    use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
    use parquet::schema::types::{SchemaDescriptor, Type as Schema};

    use super::*;

    fn footer(place: i64, bytes: i64) -> ParquetMetaData {
        let leaf = Schema::primitive_type_builder("image", Type::BYTE_ARRAY).build().unwrap();
        let root = Schema::group_type_builder("schema").with_fields(vec![Arc::new(leaf)]).build();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root.unwrap())));
        let column = ColumnChunkMetaData::builder(schema.column(0))
            .set_data_page_offset(place)
            .set_total_compressed_size(bytes)
            .build()
            .unwrap();
        let group = RowGroupMetaData::builder(Arc::clone(&schema))
            .set_num_rows(1)
            .add_column_metadata(column)
            .build()
            .unwrap();
        let file = FileMetaData::new(1, 1, None, None, schema, None);
        ParquetMetaData::new(file, vec![group])
    }

    #[test]
    fn places_outside_of_the_file_are_refused_before_the_reader_sees_them() {
        check(&footer(4, 88), 100).unwrap();
        for (place, bytes) in [(-4, 10), (4, -10), (4, 89), (i64::MAX, 10)] {
            let problem = check(&footer(place, bytes), 100).unwrap_err();
            assert!(problem.contains("column `image` of row group 0"), "{problem}");
        }
    }
}
