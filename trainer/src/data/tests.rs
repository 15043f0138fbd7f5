use std::sync::Mutex;

use smog_pipeline::shard::shard;
use smog_pipeline::sheet::{Tile, write_sheet};

use super::*;

/// What was said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ShardProgress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// A folder of images, and what makes shards of it in a cache of its own.
struct Photos(tempfile::TempDir);

impl Photos {
    fn new(images: &[&str]) -> Self {
        let photos = Self(tempfile::tempdir().unwrap());
        images.iter().for_each(|image| photos.add(image));
        photos
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("photos")
    }

    fn add(&self, image: &str) {
        let path = self.dir().join(image);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_sheet(&path, &[vec![Tile { pixels: &[9; 12], side: 2 }]], &[]).unwrap();
    }

    fn find(&self) -> Result<(PathBuf, String), DataError> {
        let notes = Notes::default();
        let found = DataSet::sharded::<DataError>(
            &self.dir(),
            Some(self.0.path().join("cache")),
            &notes,
            &|_| Ok(()),
        )?;
        Ok((found.path_of(&self.dir()), notes.0.into_inner().unwrap().join("\n")))
    }
}

fn num_samples(shards: &Path, split: &str) -> u64 {
    find(shards.to_str().unwrap()).unwrap().open(split).unwrap().num_samples()
}

#[test]
fn images_that_were_added_to_a_folder_are_seen_and_the_shards_of_a_run_stay() {
    let photos = Photos::new(&["a/1.png", "a/2.png", "b/1.png"]);
    let (first, notes) = photos.find().unwrap();
    assert!(notes.contains("holds 3 images; sharding them once"), "{notes}");
    let (again, notes) = photos.find().unwrap();
    assert_eq!(again, first);
    assert!(notes.contains("using the shards made of them earlier"), "{notes}");
    photos.add("b/new.png");
    let (second, notes) = photos.find().unwrap();
    assert!(notes.contains("(3 files, now 4; `b/new.png` is new)"), "{notes}");
    assert_eq!((num_samples(&first, "train"), num_samples(&second, "train")), (3, 4));
    let (again, notes) = photos.find().unwrap();
    assert_eq!(again, second);
    assert!(notes.contains("using the shards made of them earlier"), "{notes}");
    // An image of the same name and size is another one.
    std::fs::File::open(photos.dir().join("a/1.png"))
        .unwrap()
        .set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(9))
        .unwrap();
    let (third, notes) = photos.find().unwrap();
    assert!(third != second && third != first, "{notes}");
    assert!(notes.contains("(3 files, now 4; `b/new.png` is new)"), "{notes}");
}

#[test]
fn shards_beside_a_folder_that_has_changed_are_not_used_in_silence() {
    let photos = Photos::new(&["train/a/1.png", "train/a/2.png", "test/a/1.png"]);
    let beside = default_out(&photos.dir()).unwrap();
    shard(&photos.dir(), &beside, &ShardOptions::default(), &()).unwrap();
    let (found, notes) = photos.find().unwrap();
    assert_eq!(found, beside);
    assert!(notes.contains("holds 3 images; using the shards in"), "{notes}");
    photos.add("test/a/2.png");
    let error = photos.find().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("(1 files, now 2; `test/a/2.png` is new)"), "{message}");
    assert!(message.contains(&format!("--data {}", beside.display())), "{message}");
    assert!(crate::error::TrainError::from(error).is_usage());
}

#[test]
fn a_cache_that_was_left_half_made_is_completed() {
    let photos = Photos::new(&["train/a/1.png", "test/a/1.png"]);
    let (cached, _) = photos.find().unwrap();
    std::fs::remove_dir_all(cached.join("test")).unwrap();
    let (again, notes) = photos.find().unwrap();
    assert_eq!(again, cached);
    assert!(notes.contains("sharding them once"), "{notes}");
    assert_eq!((num_samples(&cached, "train"), num_samples(&cached, "test")), (1, 1));
}

#[test]
fn a_new_split_with_a_new_class_is_sharded_beside_the_cache() {
    let photos = Photos::new(&["train/a/1.png", "train/b/1.png"]);
    let (first, _) = photos.find().unwrap();
    for image in ["test/a/1.png", "test/b/1.png", "test/c/1.png"] {
        photos.add(image);
    }
    let (second, notes) = photos.find().unwrap();
    assert!(notes.contains("were made with other classes (2, now 3; `c` is new)"), "{notes}");
    assert_ne!(second, first);
    assert_eq!((num_samples(&second, "train"), num_samples(&second, "test")), (2, 3));
    let classes = find(second.to_str().unwrap()).unwrap().open("train").unwrap().classes().to_vec();
    assert_eq!(classes, ["a", "b", "c"]);
    assert_eq!(num_samples(&first, "train"), 2, "kept for the run that began with it");
    assert_eq!(photos.find().unwrap().0, second);
    // Shards beside the folder are a person's.
    let beside = default_out(&photos.dir()).unwrap();
    std::fs::rename(&first, &beside).unwrap();
    let message = photos.find().unwrap_err().to_string();
    assert!(message.contains("(split `train`) were made with other classes"), "{message}");
}

#[test]
fn a_half_made_cache_of_another_version_is_left_alone() {
    let photos = Photos::new(&["train/a/1.png", "test/a/1.png"]);
    let (first, _) = photos.find().unwrap();
    let by_another_version = |dir: &Path| {
        std::fs::remove_dir_all(dir.join("test")).unwrap();
        let path = dir.join("train/.plan.json");
        let mut plan: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        plan["created_by"] = "smog-tools 0.0.1".into();
        std::fs::write(path, serde_json::to_vec(&plan).unwrap()).unwrap();
    };
    by_another_version(&first);
    let (second, notes) = photos.find().unwrap();
    assert_ne!(second, first);
    assert!(notes.contains("was written by smog-tools 0.0.1"), "{notes}");
    assert_eq!((num_samples(&second, "train"), num_samples(&second, "test")), (1, 1));
    assert_eq!(photos.find().unwrap().0, second);
    by_another_version(&second);
    let (third, notes) = photos.find().unwrap();
    assert!(third != second && third != first, "{notes}");
    assert_eq!(photos.find().unwrap().0, third);
}

#[test]
fn splits_that_the_shards_beside_lack_are_named() {
    let photos = Photos::new(&["train/a/1.png", "test/a/1.png"]);
    let beside = default_out(&photos.dir()).unwrap();
    shard(&photos.dir(), &beside, &ShardOptions::default(), &()).unwrap();
    std::fs::remove_dir_all(beside.join("test")).unwrap();
    let (found, notes) = photos.find().unwrap();
    assert_eq!(found, beside);
    assert!(notes.contains("without split `test`, which is not in them"), "{notes}");
    // With none of the splits they are shards of something else.
    std::fs::rename(beside.join("train"), beside.join("birds")).unwrap();
    let (found, notes) = photos.find().unwrap();
    assert_ne!(found, beside);
    assert!(notes.contains("hold none of the splits `train`, `test`"), "{notes}");
    assert_eq!((num_samples(&found, "train"), num_samples(&found, "test")), (1, 1));
}

#[test]
fn all_that_is_kept_of_a_folder_is_named() {
    let photos = Photos::new(&["a/1.png"]);
    let (first, notes) = photos.find().unwrap();
    assert!(!notes.contains("kept"), "{notes}");
    photos.add("a/2.png");
    let (second, _) = photos.find().unwrap();
    photos.add("a/3.png");
    let (third, notes) = photos.find().unwrap();
    let kept = format!("{}, {}", first.display(), second.display());
    assert!(notes.contains(&format!("delete those that no run needs: {kept}")), "{notes}");
    let (again, notes) = photos.find().unwrap();
    assert_eq!(again, third);
    assert!(notes.contains(&kept), "{notes}");
}

#[test]
fn another_split_is_named_with_the_flag_that_chose_it() {
    let photos = Photos::new(&["a/1.png"]);
    let (cached, _) = photos.find().unwrap();
    let given = cached.join("train");
    let data = find(given.to_str().unwrap()).unwrap();
    let message = data.open("test").err().unwrap().to_string();
    assert!(message.ends_with("no split `test`; it has train"), "{message}");
    let error = data.open_for("test", "--split NAME").err().unwrap();
    let message = error.to_string();
    assert!(message.ends_with("it has train. To choose another one: --split NAME"), "{message}");
    assert!(crate::error::TrainError::from(error).is_usage());
}

/// A query that is its own neighbour would be right whatever the encoder.
#[test]
fn bank_and_queries_are_never_one_split_by_two_names() {
    let photos = Photos::new(&["train/a/1.png", "validation/a/2.png", "validation/b/3.png"]);
    let (cached, _) = photos.find().unwrap();
    let data = find(cached.to_str().unwrap()).unwrap();
    for bank in ["validation", "val"] {
        for test in ["val", "validation"] {
            let knn = data.knn(bank, &[test.to_owned()]).unwrap();
            assert!(knn.queries.is_none() && knn.name == bank, "{}", knn.name);
        }
    }
    let knn = data.knn("train", &["val".to_owned()]).unwrap();
    assert!(knn.queries.is_some() && knn.name == "train -> val", "{}", knn.name);
}

fn find(given: &str) -> Result<DataSet, DataError> {
    DataSet::find(Path::new(given), &RemoteOptions::default(), &())
}

#[test]
fn synthetic_data_is_named_by_count_and_side() {
    assert_eq!(find("synthetic:200").unwrap(), DataSet::Synthetic { count: 200, side: 48 });
    assert_eq!(find("synthetic:200:32").unwrap(), DataSet::Synthetic { count: 200, side: 32 });
    for given in ["synthetic:", "synthetic:0", "synthetic:x", "synthetic:5:1", "synthetic:5:x"] {
        assert!(find(given).unwrap_err().to_string().contains("synthetic:2000:48"), "{given}");
    }
}

#[test]
fn splits_of_synthetic_data_differ_in_content() {
    let data = find("synthetic:20:16").unwrap();
    assert_ne!(data.open("train").unwrap().digest(), data.open("test").unwrap().digest());
}

/// ImageNet's shape: the test split is a flat folder.
#[test]
fn a_test_split_without_labels_is_passed_over_unless_it_is_asked_for() {
    let mut images = vec!["test/1.png"];
    images.extend(["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"]);
    let photos = Photos::new(&images);
    let (cached, _) = photos.find().unwrap();
    let data = find(cached.to_str().unwrap()).unwrap();
    let splits = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let knn = data.knn("train", &splits(&["test", "val"])).unwrap();
    assert_eq!((knn.name.as_str(), &knn.passed_over), ("train -> val", &splits(&["test"])));
    assert!(knn.remark().unwrap().contains("`val` is taken instead"));
    knn.check().unwrap();
    let knn = data.knn("train", &splits(&["test"])).unwrap();
    assert!(knn.name == "train" && knn.queries.is_none() && knn.remark().is_some());
    let knn = data.knn("train", &splits(&["val", "test"])).unwrap();
    assert_eq!((knn.name.as_str(), knn.remark()), ("train -> val", None));
    let asked = data.knn_with("train", "test").unwrap();
    let text = asked.check().unwrap_err().to_string();
    assert!(text.contains("split `test` have no label") && text.contains("--test-split"), "{text}");
    assert!(data.knn_with("train", "train").unwrap().queries.is_none());
    assert!(data.knn_with("train", "missing").is_err());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let message = find("no/such/folder").unwrap_err().to_string();
    assert!(message.contains("no/such/folder: there is no such file or folder"), "{message}");
}

#[test]
fn parquet_files_and_web_dataset_tars_are_read_as_they_lie() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-formats");
    if !dir.is_dir() {
        eprintln!("SKIPPED: {} is not there", dir.display());
        return;
    }
    for name in
        ["hf-imagenet-style.parquet", "webdataset-000000.tar", "webdataset-{000000..000000}.tar"]
    {
        let given = dir.join(name);
        let data = DataSet::find(&given, &RemoteOptions::default(), &()).unwrap();
        assert!(matches!(data, DataSet::Found(_)), "{name}");
        assert!(data.path_of(&given).is_absolute(), "{name}");
        let source = data.open("train").unwrap();
        assert_eq!((source.num_samples(), source.classes().len()), (64, 64), "{name}");
        assert!(!data.has_split("val") && !data.has_split("test"));
    }
}

#[test]
fn an_empty_folder_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(find(empty.to_str().unwrap()), Err(DataError::Shard { .. })));
    let notes = Notes::default();
    DataSet::sharded::<DataError>(&empty, None, &notes, &|_| Ok(())).unwrap_err();
    assert!(!notes.0.into_inner().unwrap().iter().any(|note| note.contains("holds")));
}

/// Files that are no images.
fn add_broken(photos: &Photos, count: u32) {
    for number in 0..count {
        std::fs::write(photos.dir().join(format!("a/broken-{number}.jpg")), "no image").unwrap();
    }
}

#[test]
fn what_was_refused_of_a_folder_is_said_and_too_much_of_it_ends_the_run() {
    let images: Vec<String> = (0..20).map(|number| format!("a/{number}.png")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let photos = Photos::new(&images);
    let (_, notes) = photos.find().unwrap();
    assert!(!notes.contains("refused"), "{notes}");
    add_broken(&photos, 5);
    for _ in 0..2 {
        // Some broken files are no sign of more.
        let (_, notes) = photos.find().unwrap();
        assert!(notes.contains("5 of 25 files of split `train` were refused"), "{notes}");
        assert!(notes.contains("refused.jsonl says why"), "{notes}");
    }
    add_broken(&photos, 6);
    for _ in 0..2 {
        // As well where the shards are there from before.
        let error = photos.find().unwrap_err();
        let message = error.to_string();
        assert!(message.contains("6 of 26 files of split `train` in"), "{message}");
        assert!(message.contains("1 % (or 5 files)"), "{message}");
        let accept = format!("smog-tools shard {} --allow-refused 6", photos.dir().display());
        assert!(message.contains(&accept), "{message}");
        assert!(crate::error::TrainError::from(error).is_usage());
    }
    // Who makes the shards by hand has seen it.
    let beside = default_out(&photos.dir()).unwrap();
    shard(&photos.dir(), &beside, &ShardOptions::default(), &()).unwrap();
    let (found, notes) = photos.find().unwrap();
    assert_eq!(found, beside);
    assert!(notes.contains("6 of 26 files of split `train` were refused"), "{notes}");
}
