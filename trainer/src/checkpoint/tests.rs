use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::stream::StreamState;
use tch::{Kind, Tensor};

use super::*;

fn state(step: u64) -> RunState {
    RunState {
        version: RunState::VERSION,
        step,
        steps_since_reset: 3,
        num_resets: 1,
        last_loss: Some(1.25),
        trained_seconds: 0.1 + 0.2,
        stream: StreamState {
            version: StreamState::VERSION,
            dataset_digest: "d".into(),
            order: OrderSettings::Full,
            recipe_digest: "r".into(),
            seed: 7,
            global_batch: 8,
            world_size: 1,
            next_step: step,
        },
        config_digest: "c".into(),
        config: "[run]\nseed = 7\n[schedule]\nlr_per_256 = 1.0".parse().unwrap(),
        versions: BTreeMap::new(),
        files: BTreeMap::new(),
    }
}

fn tensors(value: f64) -> Vec<(String, Tensor)> {
    vec![
        ("a.weight".into(), Tensor::full([2, 3], value, (Kind::Float, tch::Device::Cpu))),
        ("counts".into(), Tensor::from_slice(&[1i64, -2])),
        ("scalar".into(), Tensor::from(0.1f64)),
    ]
}

fn write(store: &Store, step: u64) {
    store.write(state(step), &[("model", tensors(step as f64))]).unwrap();
}

fn steps(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read_back_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("checkpoints"), 2);
    write(&store, 5);
    let checkpoint = store.newest().unwrap();
    assert_eq!(RunState { files: BTreeMap::new(), ..checkpoint.state.clone() }, state(5));
    let read = checkpoint.tensors("model").unwrap();
    assert_eq!(read.len(), 3);
    for (name, tensor) in tensors(5.0) {
        assert_eq!(read[&name].kind(), tensor.kind());
        assert_eq!(read[&name].size(), tensor.size());
        assert!(read[&name].equal(&tensor), "{name}");
    }
}

#[test]
fn a_tensor_that_is_not_contiguous_is_saved_by_its_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.safetensors");
    let tensor = Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).view([2, 3]).transpose(0, 1);
    tensors::write(&path, &[("t".into(), tensor.shallow_clone())]).unwrap();
    assert!(tensors::read(&path).unwrap()["t"].equal(&tensor));
}

#[test]
fn only_the_newest_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 2);
    for step in [10, 20, 9_999_999_990, 30] {
        write(&store, step);
    }
    // A step number longer than its padding still counts as the newest.
    assert_eq!(steps(dir.path()), ["latest", "step-00000030", "step-9999999990"]);
}

#[test]
fn a_good_one_is_spared_until_the_next_is_known_to_be_good_and_the_run_can_go_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, aside) = (dir.path().join("checkpoints"), dir.path().join("diverged"));
    let store = Store::new(kept.clone(), 1);
    write(&store, 10);
    store.write_sparing(state(20), &[("model", tensors(20.0))], Some(10)).unwrap();
    assert_eq!(steps(&kept), ["latest", "step-00000010", "step-00000020"]);
    store.delete_old(20, None);
    assert_eq!(steps(&kept), ["latest", "step-00000020"]);

    assert_eq!(store.set_aside(20, &aside).unwrap(), None, "the only one stays");
    assert_eq!(store.newest().unwrap().state.step, 20);
    store.write_sparing(state(30), &[("model", tensors(30.0))], Some(20)).unwrap();
    store.write_sparing(state(31), &[("model", tensors(31.0))], Some(20)).unwrap();
    fs::create_dir_all(kept.join("step-00000025")).unwrap();
    assert_eq!(store.set_aside(31, &aside).unwrap(), Some(20), "a complete one");
    assert_eq!(store.newest().unwrap().state.step, 20);
    assert_eq!(Store::new(aside.clone(), 1).of_step(31).unwrap().state.step, 31);
    assert!(!kept.join("step-00000031").exists());
    // What an earlier end left there gives way.
    store.write_sparing(state(31), &[("model", tensors(0.0))], Some(20)).unwrap();
    assert_eq!(store.set_aside(31, &aside).unwrap(), Some(20));
    assert_eq!(steps(&kept), ["latest", "step-00000020"]);
    let aside = Store::new(aside, 1).of_step(31).unwrap();
    assert!(aside.tensors("model").unwrap()["a.weight"].equal(&tensors(0.0)[0].1));
}

/// As where another process has a file of it open on a network file system.
#[test]
fn an_old_one_that_cannot_be_deleted_stays_until_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    [1, 2, 3].into_iter().for_each(|step| write(&store, step));
    let store = Store::new(dir.path().to_owned(), 1);
    store.delete_old_by(3, None, &|path| match path.ends_with("step-00000001") {
        true => Err(CheckpointError::io("remove", path)(std::io::Error::other("in use"))),
        false => fs::remove_dir_all(path).map_err(CheckpointError::io("remove", path)),
    });
    assert_eq!(steps(dir.path()), ["latest", "step-00000001", "step-00000003"]);
    write(&store, 4);
    assert_eq!(steps(dir.path()), ["latest", "step-00000004"]);
}

#[test]
fn half_written_and_damaged_checkpoints_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    for step in [1, 2, 3, 4] {
        write(&store, step);
    }
    let at = |step: u64| dir.path().join(format!("step-{step:08}"));
    // A folder that was being written, one without state, one cut short, one with a flipped bit.
    fs::create_dir(dir.path().join(".writing-step-00000009")).unwrap();
    fs::create_dir(at(8)).unwrap();
    fs::write(at(8).join("model.safetensors"), b"half").unwrap();
    fs::remove_file(at(4).join("state.json")).unwrap();
    let model = at(3).join("model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, &bytes).unwrap();
    assert_eq!(store.newest().unwrap().state.step, 2);

    bytes.truncate(20);
    fs::write(at(2).join("model.safetensors"), bytes).unwrap();
    assert_eq!(store.newest().unwrap().state.step, 1);

    write(&store, 10);
    assert!(
        !dir.path().join(".writing-step-00000009").exists(),
        "left-overs go at the next checkpoint"
    );
}

#[test]
fn a_missing_or_nonsensical_latest_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    write(&store, 1);
    write(&store, 2);
    for text in ["", "step-00000099\n", "../elsewhere", "step-0000"] {
        fs::write(dir.path().join("latest"), text).unwrap();
        assert_eq!(store.newest().unwrap().state.step, 2, "{text:?}");
    }
    fs::remove_file(dir.path().join("latest")).unwrap();
    assert_eq!(store.newest().unwrap().state.step, 2);
}

#[test]
fn latest_can_be_set_back_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    write(&store, 1);
    write(&store, 2);
    fs::write(dir.path().join("latest"), "step-00000001").unwrap();
    assert_eq!(store.newest().unwrap().state.step, 1);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    write(&store, 1);
    // A kind that safetensors lack, found after the first part was written.
    let bad = Tensor::zeros([2], (Kind::Bool, tch::Device::Cpu));
    let parts = [("model", tensors(1.0)), ("optimizer", vec![("bad".into(), bad)])];
    let error = store.write(state(2), &parts).unwrap_err().to_string();
    assert!(error.contains("cannot be saved"), "{error}");
    assert_eq!(steps(dir.path()), ["latest", "step-00000001"]);
    assert_eq!(store.newest().unwrap().state.step, 1);
}

#[test]
fn a_file_of_another_kind_is_named_as_such_with_the_way_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for (bytes, part) in [
        (&b"PK\x03\x04 an archive of torch.save"[..], "save_file"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", "save_file"),
        (b"PAR1 features", "Parquet"),
        (b"\xff\xd8\xff\xe0 a photograph", "smog-trainer export"),
        (b"", "smog-trainer export"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = tensors::read(&path).unwrap_err();
        assert!(matches!(error, CheckpointError::Kind { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("is not a safetensors file") && error.contains(part), "{error}");
    }
}

#[test]
fn an_empty_folder_and_another_version_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().to_owned(), 9);
    assert!(matches!(store.newest(), Err(CheckpointError::None { .. })));
    write(&store, 1);
    let path = dir.path().join("step-00000001/state.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"version\": 1,\n  \"step\"", "\"version\": 2,\n  \"step\"");
    fs::write(&path, text).unwrap();
    let error = store.newest().unwrap_err().to_string();
    assert!(error.contains("version 2") && error.contains("reads version 1"), "{error}");
}
