//! Features of whole splits, and encoding that was interrupted.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::Source;
use smog_trainer::data::DataSet;
use smog_trainer::embed::{FeatureFile, write_features};
use smog_trainer::eval::{EvalStream, Interrupted};
use smog_trainer::images::Normalizer;
use smog_trainer::settings::Span;
use smog_trainer::signals::StopRequest;
use smog_trainer::trained::Wanted;

use crate::call::trained;
use crate::support::{data, tiny, within};

#[test]
fn encoding_that_was_interrupted_goes_on_behind_its_last_part_to_the_same_features() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let mut config = tiny(&["eval.batch_size=16"]);
        config.eval.batch_size = 16;
        let source = data().open("train").unwrap();
        let normalizer = Normalizer::new(tch::Device::Cpu).unwrap();
        let encode = |images: &tch::Tensor| images.flatten(1, -1).narrow(1, 100, 7);
        let run = |stop: &StopRequest, seen: &mut Vec<u64>| {
            let stream = EvalStream::new(&config).resumable(dir.path(), "pixels", stop);
            let result =
                stream.features(source.clone(), &normalizer, &encode, &mut |done| seen.push(done));
            (result, stream)
        };
        let whole = EvalStream::new(&config)
            .features(source.clone(), &normalizer, &encode, &mut |_| ())
            .unwrap();
        let stop = StopRequest::default();
        stop.request();
        for expected in [[16], [32]] {
            let mut seen = Vec::new();
            assert!(run(&stop, &mut seen).0.err().unwrap().is::<Interrupted>());
            assert_eq!(seen, expected);
        }
        let mut seen = Vec::new();
        let (found, stream) = run(&StopRequest::default(), &mut seen);
        let found = found.unwrap();
        assert_eq!(seen, [48, 60]);
        assert_eq!((found.features, found.labels), (whole.features, whole.labels));
        stream.forget_parts();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    });
}

/// The tiny data as a Parquet file, with some samples cut short.
fn with_bad(path: &Path, bad: &[usize]) -> Arc<dyn Source> {
    let source = data().open("train").unwrap();
    let mut images: Vec<Vec<u8>> = Vec::new();
    for group in 0..source.row_groups().len() as u32 {
        let group = source.read(RowGroupId(group)).unwrap();
        images.extend((0..group.rows()).map(|row| group.encoded(row).to_vec()));
    }
    bad.iter().for_each(|&row| images[row].truncate(60));
    let labels: Int64Array = (0..images.len() as i64).map(|row| Some(row % 3)).collect();
    // As Hugging Face `datasets` writes pictures.
    let bytes: BinaryArray = images.iter().map(Some).collect();
    let paths: StringArray = images.iter().map(|_| Some("")).collect();
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let images = StructArray::from(vec![
        (field("bytes", DataType::Binary), Arc::new(bytes) as ArrayRef),
        (field("path", DataType::Utf8), Arc::new(paths)),
    ]);
    let columns: [(_, ArrayRef); 2] = [("image", Arc::new(images)), ("label", Arc::new(labels))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let found = DataSet::find(path, &RemoteOptions::default(), &()).unwrap();
    found.open("train").unwrap()
}

#[test]
fn embedding_that_was_interrupted_goes_on_to_the_same_file() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let mut trained = Wanted { path: run, ..Wanted::default() }.load().unwrap();
        trained.config.eval.batch_size = 16;
        trained.config.stream.max_bad = Span::Percent(10.0);
        let normalizer = Normalizer::new(tch::Device::Cpu).unwrap();
        // Two cannot be decoded, one of them in the first part of the interrupted call.
        let source = with_bad(&dir.path().join("pictures.parquet"), &[3, 20]);
        let write = |name: &str, stop: &StopRequest| {
            let path = dir.path().join("out").join(name);
            let file = FeatureFile { path: &path, about: &trained.about, split: "train" };
            let stream = EvalStream::new(&trained.config).resumable(
                &dir.path().join("out"),
                &trained.identity,
                stop,
            );
            let rows = write_features(
                &file,
                source.clone(),
                &stream,
                &normalizer,
                &trained.backbone,
                &mut |_| (),
            )?;
            stream.forget_parts();
            anyhow::Ok((rows, std::fs::read(path)?))
        };
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let whole = write("whole", &StopRequest::default()).unwrap();
        assert_eq!(whole.0, 58);
        let stop = StopRequest::default();
        stop.request();
        for _ in 0..2 {
            assert!(write("twice", &stop).err().unwrap().is::<Interrupted>());
        }
        assert_eq!(
            std::fs::read_dir(dir.path().join("out")).unwrap().count(),
            2,
            "parts and whole"
        );
        assert_eq!(write("twice", &StopRequest::default()).unwrap(), whole);
        assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 2, "two files");
    });
}
