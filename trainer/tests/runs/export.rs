//! Encoders of runs as files: exported, begun with, refused.

use std::path::Path;

use smog_trainer::checkpoint::tensors;
use smog_trainer::train::Outcome;
use smog_trainer::trained::Wanted;

use crate::call::{call, exported, trained};
use crate::support::{newest, open, refused, tiny, train, within};

#[test]
fn an_exported_encoder_is_that_of_the_checkpoint_and_says_what_it_is() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let model = newest(&run).tensors("model").unwrap();
        for branch in ["online", "momentum"] {
            let out = dir.path().join(format!("{branch}.safetensors"));
            let text = [run.to_str().unwrap(), "--out", out.to_str().unwrap(), "--branch", branch];
            let (code, _, err) = call(&[&["export"], &text[..]].concat());
            assert_eq!(code, 0, "{err}");
            let (tensors, header) = tensors::read_about(&out).unwrap();
            let prefix = format!("{branch}.encoder.");
            assert_eq!(tensors.len(), model.keys().filter(|key| key.starts_with(&prefix)).count());
            for (name, tensor) in &tensors {
                assert_eq!(tensor, &model[&format!("{prefix}{name}")], "{name}");
            }
            assert_eq!(header["format"], "pt");
            assert_eq!((header["smog.step"].as_str(), header["smog.size"].as_str()), ("3", "24"));
            assert!(header["smog.encoder"].contains("\"width\":8"), "{header:?}");
            assert!(header["smog.mean"].starts_with("[0.485,"), "{header:?}");
        }
        let others = std::fs::read_dir(dir.path()).unwrap().flatten();
        assert_eq!(others.count(), 3, "no temporary file is left");
    });
}

/// A run on pictures that are rotated as their EXIF tag says is evaluated on such pictures, by its folder and by its file.
#[test]
fn an_exported_encoder_says_whether_its_pictures_are_rotated() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let sets = ["run.length=\"2 steps\"", "schedule.warmup=never", "stream.apply_exif=true"];
        train(tiny(&sets), &run, false, None);
        let file = exported(&run);
        let (state, mut header) = tensors::read_about(&file).unwrap();
        assert_eq!(header["smog.apply_exif"], "true");
        let rotates = || {
            let trained = Wanted { path: file.clone(), ..Default::default() }.load().unwrap();
            assert_eq!(trained.config.stream.apply_exif, trained.about.apply_exif);
            trained.about.apply_exif
        };
        assert!(rotates());
        // Files of earlier versions do not say it.
        header.remove("smog.apply_exif");
        let state: Vec<_> = state.into_iter().collect();
        tensors::write_about(&file, &state, header).unwrap();
        assert!(!rotates());
    });
}

#[test]
fn a_run_begins_with_a_file_keeps_it_and_resumes_without_it() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let first = trained(dir.path());
        let file = exported(&first);
        let (encoder, _) = tensors::read_about(&file).unwrap();
        let set = format!("run.init={}", file.display());
        let run = dir.path().join("second");
        // Before its first step the run is the file, in both branches.
        let config = || tiny(&[&set, "run.length=\"4 steps\""]);
        drop(open(config(), &run, false, None).unwrap());
        let beginning = Wanted { path: run.clone(), ..Default::default() };
        for (name, tensor) in beginning.untrained().unwrap().backbone.state() {
            assert_eq!(tensor, encoder[&name], "{name}");
        }
        // Stopped before the first checkpoint, and the file is gone: the run has its own copy.
        std::fs::remove_file(&file).unwrap();
        let (code, _, err) = call(&[
            "run",
            "--resume",
            run.to_str().unwrap(),
            "--stop-after",
            "2",
            "--data",
            "synthetic:60:32",
        ]);
        assert_eq!(code, 75, "{err}");
        assert!(err.contains("init: the encoder begins with 120 tensors"), "{err}");
        assert_eq!(train(config(), &run, true, None), Outcome::Finished);
        let plain = dir.path().join("plain");
        train(tiny(&["run.length=\"4 steps\""]), &plain, false, None);
        assert_ne!(
            newest(&plain).state.files["model.safetensors"],
            newest(&run).state.files["model.safetensors"]
        );
        // Without the file the run is another one.
        let message = refused(tiny(&["run.length=\"4 steps\""]), &run, true);
        assert!(message.contains("run.init") && message.contains("not set now"), "{message}");
    });
}

#[test]
fn a_run_without_a_checkpoint_that_is_given_another_file_begins_with_that_one() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let file = exported(&trained(dir.path()));
        let other = dir.path().join("other.safetensors");
        std::fs::copy(&file, &other).unwrap();
        let run = dir.path().join("second");
        let copied = || std::fs::read(run.join("init.safetensors")).unwrap();
        let config = |file: &Path| tiny(&[&format!("run.init={}", file.display())]);
        drop(open(config(&file), &run, false, None).unwrap());
        let first = copied();
        // The last weight of all is another one.
        let mut bytes = std::fs::read(&other).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&1.5f32.to_le_bytes());
        std::fs::write(&other, &bytes).unwrap();
        drop(open(config(&other), &run, true, None).unwrap());
        assert!(copied() == bytes && first != bytes);
        // And with that one it goes on, though it is gone.
        std::fs::remove_file(&other).unwrap();
        drop(open(config(&other), &run, true, None).unwrap());
        assert!(copied() == bytes);
    });
}

#[test]
fn a_file_of_another_encoder_is_refused_before_the_run_has_a_folder() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let first = trained(dir.path());
        let file = exported(&first);
        let set = format!("run.init={}", file.display());
        let run = dir.path().join("second");
        let error = open(tiny(&[&set, "model.encoder.width=16"]), &run, false, None).err().unwrap();
        let text = format!("{:#}", anyhow::Error::from(error));
        for part in
            ["encoder.safetensors", "conv1.weight", "[8, 3, 7, 7]", "[16, 3, 7, 7]", "width"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!run.exists());
    });
}
