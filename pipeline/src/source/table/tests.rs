use std::fs;
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use super::*;
use crate::source::{open, test_images::jpeg};

fn features(names: &[&str]) -> KeyValue {
    let text = serde_json::json!({"info": {"features": {
        "img": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }}});
    KeyValue::new("huggingface".to_owned(), text.to_string())
}

/// Snappy and a dictionary for every column, as pyarrow writes by default.
fn as_pyarrow() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::SNAPPY)
}

fn write(path: &Path, columns: &[(&str, ArrayRef)], properties: WriterProperties) {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// `struct{bytes, path}`.
fn images(bytes: Vec<Option<&[u8]>>, nulls: Option<Vec<bool>>) -> ArrayRef {
    let paths: Vec<Option<String>> =
        (0..bytes.len()).map(|row| (row % 4 != 3).then(|| format!("{row}.jpg"))).collect();
    Arc::new(StructArray::new(
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]
            .into(),
        vec![Arc::new(BinaryArray::from(bytes)), Arc::new(StringArray::from(paths))],
        nulls.map(NullBuffer::from),
    ))
}

fn labels(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row % 3)))
}

fn rows_of(source: &dyn Source) -> Vec<(Vec<u8>, i64, String)> {
    let mut rows = Vec::new();
    for id in 0..source.row_groups().len() as u32 {
        let group = source.read(RowGroupId(id)).unwrap();
        let info = source.row_groups()[id as usize];
        assert_eq!((group.first_sample, group.rows()), (info.first_sample, info.rows));
        let bytes: u64 = group.metas.iter().map(|meta| u64::from(meta.bytes)).sum();
        assert!(bytes <= info.bytes, "{bytes} of {}", info.bytes);
        assert_eq!(source.labels(RowGroupId(id)).unwrap(), group.labels);
        for row in 0..group.rows() {
            let (label, path) = (group.labels[row as usize], group.paths[row as usize].clone());
            rows.push((group.encoded(row).to_vec(), label, path));
        }
    }
    rows
}

#[test]
fn every_image_comes_back_byte_for_byte_with_its_label() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<Vec<u8>> = (0..50).map(|row| jpeg(16 + row % 5, row as u8)).collect();
    let bytes = files.iter().map(|file| Some(&file[..])).collect();
    let properties = as_pyarrow()
        .set_max_row_group_row_count(Some(20))
        .set_key_value_metadata(Some(vec![features(&["cat", "dog", "eel"])]))
        .build();
    let path = dir.path().join("train-00000-of-00001.parquet");
    let caption: ArrayRef = Arc::new(StringArray::from(vec!["text"; 50]));
    let columns = [("caption", caption), ("img", images(bytes, None)), ("label", labels(50))];
    write(&path, &columns, properties);
    let source = open(&path, "train").unwrap();
    assert_eq!(source.classes(), ["cat", "dog", "eel"]);
    let rows: Vec<u32> = source.row_groups().iter().map(|group| group.rows).collect();
    assert_eq!(rows, [20, 20, 10]);
    for (row, (bytes, label, path)) in rows_of(&*source).into_iter().enumerate() {
        assert_eq!(bytes, files[row]);
        assert_eq!(label, row as i64 % 3);
        let name = format!("train-00000-of-00001.parquet/{}/{}", row / 20, row % 20);
        assert_eq!(path, if row % 4 == 3 { name } else { format!("{row}.jpg") });
    }
    let group = source.read(RowGroupId(0)).unwrap();
    assert_eq!((group.metas[3].width, group.metas[3].height), (19, 19));
    assert!(open(&path, "test").err().unwrap().to_string().contains("there is train"));
}

/// Row groups of 45 MB, with and without an offset index, with images of a dictionary and plain ones.
#[test]
fn a_row_group_that_is_too_large_is_read_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<Vec<u8>> = (0..90u32)
        .map(|row| {
            let mut state = row;
            let noise = std::iter::repeat_with(move || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            noise.take(480_000 + row as usize * 500).collect()
        })
        .collect();
    let bytes: Vec<Option<&[u8]>> = files.iter().map(|file| Some(&file[..])).collect();
    for index in [true, false] {
        let path = dir.path().join(format!("{index}.parquet"));
        let properties = as_pyarrow()
            .set_offset_index_disabled(!index)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
            .set_write_batch_size(4)
            .build();
        write(&path, &[("image", images(bytes.clone(), None))], properties);
        let source = TableSource::open(&[path]).unwrap();
        let groups = source.row_groups();
        assert!((3..=6).contains(&groups.len()), "{groups:?}");
        assert!(groups.iter().all(|group| group.bytes < 24 << 20), "{groups:?}");
        assert!(source.parts.iter().all(|part| part.row_group == 0));
        for (row, (bytes, label, _)) in rows_of(&source).into_iter().enumerate() {
            assert!(bytes == files[row], "row {row}");
            assert_eq!(label, -1);
        }
    }
}

#[test]
fn labels_without_names_are_numbered_and_missing_ones_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = jpeg(16, 1);
    let path = dir.path().join("x.parquet");
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![Some(4), None, Some(-1)]));
    let bytes = vec![Some(&file[..]); 3];
    write(&path, &[("image", images(bytes, None)), ("label", labels)], as_pyarrow().build());
    let source = TableSource::open(&[path]).unwrap();
    assert_eq!(source.classes(), ["0", "1", "2", "3", "4"]);
    assert_eq!(source.labels(RowGroupId(0)).unwrap(), [4, -1, -1]);
}

#[test]
fn a_row_without_an_image_is_a_bad_sample_and_a_file_without_any_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = jpeg(16, 1);
    let path = dir.path().join("x.parquet");
    let bytes = vec![Some(&file[..]), None, Some(&file[..])];
    let nulls = Some(vec![true, true, false]);
    write(&path, &[("image", images(bytes, nulls))], as_pyarrow().build());
    let source = TableSource::open(std::slice::from_ref(&path)).unwrap();
    let lengths: Vec<usize> = rows_of(&source).iter().map(|(bytes, ..)| bytes.len()).collect();
    assert_eq!(lengths, [file.len(), 0, 0]);

    write(&path, &[("image", images(vec![None; 5], None))], as_pyarrow().build());
    let message = TableSource::open(&[path]).err().unwrap().to_string();
    assert!(message.contains("no image bytes") && message.contains("only paths"), "{message}");
}

#[test]
fn files_of_another_shape_say_what_was_found_and_expected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let file = jpeg(16, 1);
    let open = |columns: &[(&str, ArrayRef)], features: Option<KeyValue>| {
        let properties = as_pyarrow().set_key_value_metadata(features.map(|f| vec![f])).build();
        write(&path, columns, properties);
        TableSource::open(std::slice::from_ref(&path))
    };
    let message = |columns: &[(&str, ArrayRef)], features: Option<KeyValue>| {
        open(columns, features).err().unwrap().to_string()
    };
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let image = || images(vec![Some(&file[..]); 2], None);

    let found = message(&[("caption", Arc::clone(&text)), ("label", labels(2))], None);
    assert!(found.contains("`image` or `img`"), "{found}");
    assert!(found.contains("`caption` Utf8, `label` Int64"), "{found}");
    let found = message(&[("image", Arc::clone(&text))], None);
    assert!(found.contains("found `image` Utf8"), "{found}");
    let found = message(&[("image", image()), ("label", text)], None);
    assert!(found.contains("column `label` is Utf8") && found.contains("ClassLabel"), "{found}");
    let empty: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    let found = message(&[("image", images(Vec::new(), None)), ("label", empty)], None);
    assert!(found.contains("no rows"), "{found}");
    // A label beyond the names is told when its row group is read, with its row.
    let source =
        open(&[("image", image()), ("label", labels(2))], Some(features(&["one"]))).unwrap();
    let found = source.read(RowGroupId(0)).unwrap_err().to_string();
    assert!(found.contains("row 1 has label 1") && found.contains("1 classes"), "{found}");
    // Any column of images does where there is only one; `img` is told by its name.
    assert_eq!(open(&[("photo", image())], None).unwrap().columns.image, "photo");

    fs::write(&path, b"PAR1 and then nothing PAR1").unwrap();
    let error = TableSource::open(std::slice::from_ref(&path)).err().unwrap();
    assert!(error.to_string().contains("not readable Parquet"), "{error}");
}

#[test]
fn a_file_that_was_cut_off_or_changed_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let file = jpeg(24, 1);
    let columns = [("image", images(vec![Some(&file[..]); 8], None)), ("label", labels(8))];
    write(&path, &columns, as_pyarrow().build());
    let whole = fs::read(&path).unwrap();
    // The footer alone, with the rows cut away before it.
    let length: [u8; 4] = whole[whole.len() - 8..whole.len() - 4].try_into().unwrap();
    let footer = whole.len() - 8 - u32::from_le_bytes(length) as usize;
    fs::write(&path, [b"PAR1", &whole[footer..]].concat()).unwrap();
    let message = TableSource::open(std::slice::from_ref(&path)).err().unwrap().to_string();
    assert!(message.contains("cut off"), "{message}");
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        if let Ok(source) = TableSource::open(std::slice::from_ref(&path)) {
            for group in 0..source.row_groups().len() as u32 {
                let _ = source.read(RowGroupId(group));
            }
        }
    }
}

#[test]
fn files_with_other_classes_are_not_one_set_and_the_digest_follows_the_footers() {
    let dir = tempfile::tempdir().unwrap();
    let file = jpeg(16, 1);
    let make = |name: &str, names: &[&str], rows: usize| {
        let path = dir.path().join(name);
        let properties = as_pyarrow().set_key_value_metadata(Some(vec![features(names)])).build();
        let columns = [("img", images(vec![Some(&file[..]); rows], None)), ("label", labels(rows))];
        write(&path, &columns, properties);
        path
    };
    let (a, b) = (make("a.parquet", &["x", "y", "z"], 4), make("b.parquet", &["x", "z", "y"], 4));
    let message = TableSource::open(&[a.clone(), b]).err().unwrap().to_string();
    assert!(message.contains("b.parquet") && message.contains("class names"), "{message}");
    let digest =
        |path: &PathBuf| TableSource::open(std::slice::from_ref(path)).unwrap().digest().to_owned();
    let first = digest(&a);
    assert_eq!(digest(&make("a.parquet", &["x", "y", "z"], 4)), first);
    assert_ne!(digest(&make("a.parquet", &["x", "y", "z"], 5)), first);
}

#[test]
fn footers_that_are_kept_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = jpeg(16, 1);
    let held = |rows: usize| {
        let path = dir.path().join(format!("{rows}.parquet"));
        let properties = as_pyarrow().set_max_row_group_row_count(Some(1)).build();
        write(&path, &[("image", images(vec![Some(&file); rows], None))], properties);
        let source = open(&path, "train").unwrap();
        assert_eq!(source.max_coefficient_bytes(), 6 * source.max_pixels());
        source.held_bytes()
    };
    let (few, many) = (held(10), held(1000));
    // Row groups with places and statistics of two columns.
    assert!(many - few > 990 * 400 && many < 2_000_000, "{few}, {many}");
}

#[test]
fn a_file_that_is_changed_under_a_run_is_an_error_and_never_other_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let make = |seed| {
        let file = jpeg(16, seed);
        let columns = [("image", images(vec![Some(&file[..]); 8], None)), ("label", labels(8))];
        write(&path, &columns, as_pyarrow().build());
    };
    make(1);
    let source = TableSource::open(std::slice::from_ref(&path)).unwrap();
    assert_eq!((source.file(RowGroupId(0)), source.file(RowGroupId(1))), (Some(&*path), None));
    source.read(RowGroupId(0)).unwrap();
    make(2);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
    fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
    for error in [source.read(RowGroupId(0)).err(), source.labels(RowGroupId(0)).err()] {
        let error = error.unwrap();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        assert!(error.to_string().contains("x.parquet was changed while it was in use"), "{error}");
    }
}
