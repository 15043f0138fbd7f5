//! Features of whole splits, and encoding that was interrupted.

use smog_trainer::embed::{FeatureFile, write_features};
use smog_trainer::eval::{EvalStream, Interrupted};
use smog_trainer::images::Normalizer;
use smog_trainer::settings::Span;
use smog_trainer::signals::StopRequest;
use smog_trainer::trained::Wanted;

use crate::call::trained;
use crate::pictures::{Pictures, in_place};
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
            let stream =
                EvalStream::new(&config, tch::Device::Cpu).resumable(dir.path(), "pixels", stop);
            let result =
                stream.features(source.clone(), &normalizer, &encode, &mut |done| seen.push(done));
            (result, stream)
        };
        let whole = EvalStream::new(&config, tch::Device::Cpu)
            .features(source.clone(), &normalizer, &encode, &mut |_| ())
            .unwrap();
        let stop = StopRequest::default();
        stop.request();
        for expected in [[16], [32]] {
            let mut seen = Vec::new();
            let error = run(&stop, &mut seen).0.err().unwrap();
            assert!(error.is::<Interrupted>());
            let kept: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
            let kept = kept[0].path().display().to_string();
            assert!(error.to_string().contains(&format!("is kept in {kept}, and")), "{error}");
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
        let path = dir.path().join("pictures.parquet");
        Pictures { bad: &[3, 20], ..Pictures::default() }.write(&path);
        let source = in_place(&path).open("train").unwrap();
        let write = |name: &str, stop: &StopRequest| {
            let path = dir.path().join("out").join(name);
            let file = FeatureFile { path: &path, about: &trained.about, split: "train" };
            let stream = EvalStream::new(&trained.config, tch::Device::Cpu).resumable(
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
