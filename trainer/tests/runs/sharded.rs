//! Runs on a folder of images, which are sharded once into the user's cache.

use std::path::PathBuf;
use std::process::Command;

use smog_pipeline::sheet::{Tile, write_sheet};

use crate::program::{command_on, resume, run};

/// Side of an image.
const SIDE: u32 = 32;

/// A folder of images, a run on it, and a cache of their own.
struct Photos(tempfile::TempDir);

impl Photos {
    fn new() -> Self {
        let photos = Self(tempfile::tempdir().unwrap());
        for number in 0..24 {
            photos.add(&format!("{}/{number}.png", ["a", "b"][number % 2]), number as u8);
        }
        photos
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, image: &str, colour: u8) {
        let path = self.at("photos").join(image);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels: Vec<u8> =
            (0..3 * SIDE * SIDE).map(|byte| (byte % 251) as u8 ^ colour.wrapping_mul(7)).collect();
        write_sheet(&path, &[vec![Tile { pixels: &pixels, side: SIDE }]], &[]).unwrap();
    }

    /// Folders of shards in the cache.
    fn num_cached(&self) -> usize {
        std::fs::read_dir(self.at("cache/smog/shards")).map_or(0, Iterator::count)
    }

    fn call(&self, mut command: Command) -> (Option<i32>, String) {
        run(command.env("XDG_CACHE_HOME", self.at("cache")))
    }

    /// The run goes on to so many steps, with more arguments.
    fn resume(&self, steps: &str, more: &[&str]) -> (Option<i32>, String) {
        let longer = ["--steps", steps, "--allow-change", "run.length"];
        self.call(resume(&self.at("run"), &[&longer, more].concat()))
    }
}

#[test]
fn a_run_that_cannot_go_on_is_refused_before_images_are_sharded_for_it() {
    let photos = Photos::new();
    let dir = photos.at("photos");
    let data = ["--data", dir.to_str().unwrap()];
    let first = command_on(&dir, &photos.at("run"), &["--steps", "2"]);
    let (code, text) = photos.call(first);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("holds 24 images; sharding them once into"), "{text}");
    assert_eq!(photos.num_cached(), 1);
    photos.add("b/new.png", 99);
    let (code, text) = photos.resume("4", &data);
    assert_eq!(code, Some(2), "{text}");
    for part in [
        "the images are not those of the run any more",
        "(split `train`) were made of other images (24 files, now 25; `b/new.png` is new)",
        "Leave --data out",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("sharding them once"), "{text}");
    // What differs in the settings is not found after hours either.
    let (code, text) = photos.resume("4", &[&data[..], &["--batch-size", "4"]].concat());
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("run.batch_size: 8 in the checkpoint, 4 now"), "{text}");
    assert_eq!(photos.num_cached(), 1, "nothing was sharded");
    let (code, text) = photos.resume("4", &[]);
    assert_eq!(code, Some(0), "with the images as they were: {text}");
}

#[test]
fn k_nn_in_a_run_on_images_without_classes_is_a_wrong_call_that_names_both_settings() {
    let photos = Photos::new();
    for number in 0..24 {
        photos.add(&format!("../flat/{number}.png"), number);
    }
    let every = ["--steps", "2", "--set", "eval.knn_every=1 epochs"];
    let (code, text) = photos.call(command_on(&photos.at("flat"), &photos.at("run"), &every));
    assert_eq!(code, Some(2), "{text}");
    let said = text.lines().last().unwrap();
    for part in ["has no classes", "--set eval.path=DATA", "--set eval.knn_every=never"] {
        assert!(said.contains(part), "{part}: {text}");
    }
    assert!(!photos.at("run").exists());
}

#[test]
fn a_run_goes_on_with_the_same_images_even_where_their_shards_are_gone() {
    let photos = Photos::new();
    let dir = photos.at("photos");
    let data = ["--data", dir.to_str().unwrap()];
    let (code, text) = photos.call(command_on(&dir, &photos.at("run"), &["--steps", "2"]));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = photos.resume("4", &data);
    assert_eq!(code, Some(0), "{text}");
    std::fs::remove_dir_all(photos.at("cache")).unwrap();
    let (code, text) = photos.resume("6", &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("give the folder of images that they were made of"), "{text}");
    let (code, text) = photos.resume("6", &data);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sharding them once into"), "{text}");
}
