use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use parquet::basic::Compression;
use parquet::file::reader::ChunkReader as _;
use parquet::schema::types::ColumnPath;

use super::*;
use crate::sample::{ImageFlags, ImageFormat, Subsampling};

fn rows(numbers: std::ops::Range<u32>, longest: usize) -> Vec<Row> {
    numbers
        .map(|id| {
            let bytes: Vec<u8> =
                (0..(id as usize * 977) % longest).map(|at| (at as u32 * 31 + id) as u8).collect();
            let meta = ImageMeta {
                format: ImageFormat::Jpeg,
                width: 100 + id,
                height: 7,
                components: 3,
                subsampling: Subsampling::S420,
                orientation: 1,
                progressive: id % 3 == 0,
                flags: ImageFlags::default(),
                bytes: bytes.len() as u32,
            };
            Row { id, path: format!("a/{id}.jpg"), label: Some(id % 2), bytes, meta }
        })
        .collect()
}

fn format(schema: &Arc<Schema>) -> ShardFormat {
    ShardFormat {
        schema: Arc::clone(schema),
        properties: schema::properties("test", schema),
        row_group_rows: 20,
        row_group_bytes: 1 << 20,
        split: "train".to_owned(),
        shuffle_seed: Some(0),
        check: "header",
    }
}

/// The columns of a row group as Parquet's own Arrow writer takes them.
fn batch(schema: &Arc<Schema>, rows: &[Row]) -> RecordBatch {
    let columns = facts(schema, rows)
        .unwrap()
        .into_iter()
        .map(|(_, array)| {
            let Some(image) = array.as_any().downcast_ref::<StructArray>() else { return array };
            let bytes = BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes));
            let parts = vec![Arc::new(bytes) as ArrayRef, Arc::clone(image.column(0))];
            Arc::new(StructArray::new(schema::image_parts(), parts, None))
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

#[test]
fn a_shard_has_the_bytes_that_the_general_writer_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    for classes in [vec!["cat".to_owned(), "dog".to_owned()], Vec::new()] {
        let schema = Arc::new(schema::schema(&classes));
        let format = format(&schema);
        let path = dir.path().join("x.parquet");
        let mut writer = ShardWriter::create(path.clone(), &format).unwrap();
        for row in rows(0..50, 3000) {
            writer.push(row).unwrap();
        }
        let (shard, _) = writer.finish().unwrap().commit().unwrap();
        let shard = shard.unwrap();
        let rows_of: Vec<u32> = shard.row_groups.iter().map(|group| group.rows).collect();
        assert_eq!(rows_of, [20, 20, 10]);

        let mut expected = Vec::new();
        let mut writer = ArrowWriter::try_new(
            &mut expected,
            Arc::clone(&schema),
            Some(format.properties.clone()),
        )
        .unwrap();
        for numbers in [0..20, 20..40, 40..50] {
            writer.write(&batch(&schema, &rows(numbers, 3000))).unwrap();
            writer.flush().unwrap();
        }
        writer.append_key_value_metadata(schema::shard_facts(&json!({
            "format": manifest::FORMAT, "version": VERSION, "split": "train", "shuffle_seed": 0,
            "check": "header", "rows": 50,
            "image_bytes": rows(0..50, 3000).iter().map(|row| row.bytes.len()).sum::<usize>(),
        })));
        writer.close().unwrap();
        let written = fs::read(&path).unwrap();
        assert!(written == expected, "{} and {} bytes", written.len(), expected.len());
        assert_eq!(shard.bytes, written.len() as u64);
        assert_eq!(shard.blake3, blake3::hash(&written).to_hex().as_str());
    }
}

#[test]
fn the_column_of_images_streams_as_many_bytes_as_it_says() {
    let rows = rows(0..300, 70_000);
    let images = ImageColumn::new(rows.iter().map(|row| row.bytes.as_slice()).collect()).unwrap();
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut images.get_read(0).unwrap(), &mut bytes).unwrap();
    let schema = schema::schema(&[]);
    let path = ColumnPath::new(vec!["image".to_owned(), "bytes".to_owned()]);
    assert_eq!(schema::properties("x", &schema).compression(&path), Compression::UNCOMPRESSED);
    assert_eq!(bytes.len() as u64, parquet::file::reader::Length::len(&images));
    assert!(bytes.ends_with(&rows[299].bytes));
}
