use std::collections::BTreeMap;

use smog_pipeline::draw::{Domain, Draw};

use super::*;

fn record(images: u32, test_images: u32) -> Record {
    Record { drawing: DRAWING, images, test_images, classes: 5, size: [40, 56], seed: 3 }
}

fn args(out: &Path, jobs: usize) -> Args {
    Args {
        out: out.to_owned(),
        images: 23,
        test_images: 7,
        classes: 5,
        size: SizeRange { low: 40, high: 56 },
        seed: 3,
        jobs,
    }
}

/// Relative path to content of every file below `root`.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}

fn scene(class: u32, number: u32) -> Scene {
    let sizes = SizeRange { low: 80, high: 160 };
    Scene::draw(0, 0, class, number, CLASSES[class as usize], sizes)
}

#[test]
fn the_same_files_come_out_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = Vec::new();
    for jobs in [1, 2, 7] {
        let out = folder.path().join(format!("set{jobs}"));
        run(args(&out, jobs)).unwrap();
        sets.push(files(&out));
    }
    assert_eq!(sets[0].len(), 23 + 7 + 1);
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
    // Nothing half-made stays beside the finished sets.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn pixels_of_known_scenes_keep_their_digest() {
    // Raise DRAWING whenever this value has to change.
    let mut hasher = blake3::Hasher::new();
    for class in 0..CLASSES.len() as u32 {
        let scene = scene(class, 1);
        hasher.update(&scene.width.to_le_bytes()).update(&scene.height.to_le_bytes());
        hasher.update(&paint::paint(&scene));
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "d30624ae3bd8a520effed72bc0ac2e5fe12e2a5c5ebd20249d07c2255bba2717"
    );
}

#[test]
fn a_larger_set_begins_with_the_pictures_of_the_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    run(args(&small, 1)).unwrap();
    run(Args { images: 40, ..args(&large, 2) }).unwrap();
    let large = files(&large);
    for (path, content) in files(&small).iter().filter(|(path, _)| !path.ends_with(RECORD)) {
        assert_eq!(large.get(path), Some(content), "{}", path.display());
    }
}

#[test]
fn classes_and_splits_share_no_picture_and_counts_differ_by_one_at_most() {
    let mut counts = BTreeMap::new();
    for picture in plan_files(&record(23, 7)) {
        *counts.entry((picture.split, picture.class)).or_insert(0u32) += 1;
    }
    let of = |split: u32| counts.iter().filter(move |((s, _), _)| *s == split).map(|(_, n)| *n);
    assert_eq!(of(0).sum::<u32>(), 23);
    assert_eq!(of(1).sum::<u32>(), 7);
    assert!(of(0).max().unwrap() - of(0).min().unwrap() <= 1);

    let sizes = SizeRange { low: 40, high: 40 };
    let one = |split, class, number| {
        paint::paint(&Scene::draw(3, split, class, number, CLASSES[0], sizes))
    };
    let base = one(0, 0, 0);
    assert!([one(1, 0, 0), one(0, 1, 0), one(0, 0, 1)].iter().all(|other| *other != base));
}

#[test]
fn sizes_qualities_and_sampling_vary_within_their_bounds() {
    let scenes: Vec<_> = (0..300).map(|number| scene(number % 12, number)).collect();
    assert!(scenes.iter().all(|s| (80..=160).contains(&s.width) && (80..=160).contains(&s.height)));
    assert!(scenes.iter().all(|s| (75..=95).contains(&s.quality)));
    assert!(scenes.iter().any(|s| s.width > 150) && scenes.iter().any(|s| s.width < 90));
    let subsampled = scenes.iter().filter(|s| s.subsampled).count();
    assert!((100..200).contains(&subsampled), "{subsampled} of 300");
}

#[test]
fn mean_colour_tells_nothing_about_the_class() {
    // The mean colour of a class over many pictures lies close to that of all: hue and brightness are
    // drawn without looking at the class.
    let mean_of = |class: u32| {
        let mut sum = [0.0f64; 3];
        for number in 0..120 {
            let sizes = SizeRange { low: 32, high: 32 };
            let scene = Scene::draw(1, 0, class, number, CLASSES[class as usize], sizes);
            for pixel in paint::paint(&scene).chunks_exact(3) {
                for (total, value) in sum.iter_mut().zip(pixel) {
                    *total += f64::from(*value);
                }
            }
        }
        sum.map(|total| total / (120.0 * 32.0 * 32.0))
    };
    let means: Vec<_> = (0..6).map(mean_of).collect();
    for channel in 0..3 {
        let all = means.iter().map(|mean| mean[channel]).sum::<f64>() / 6.0;
        assert!(means.iter().all(|mean| (mean[channel] - all).abs() < 16.0), "{means:?}");
    }
}

#[test]
fn a_second_call_keeps_the_set_and_other_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    run(args(&out, 2)).unwrap();
    let path = out.join("train").join(CLASSES[0].name).join("00000.jpg");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    run(args(&out, 2)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);

    let error = run(Args { seed: 4, ..args(&out, 2) }).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
    let other = folder.path().join("mine");
    fs::create_dir(&other).unwrap();
    let error = run(args(&other, 2)).unwrap_err();
    assert!(error.to_string().contains("not a synthetic set"), "{error}");
}

#[test]
fn a_partial_set_of_a_killed_run_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let stray = folder.path().join(".set.partial").join("train").join("junk.jpg");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"half").unwrap();
    run(args(&out, 1)).unwrap();
    assert!(!files(&out).contains_key(Path::new("train/junk.jpg")));
}

#[test]
fn nonsense_settings_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    for (bad, word) in [
        (Args { classes: 1, ..args(&out, 1) }, "--classes"),
        (Args { classes: 99, ..args(&out, 1) }, "--classes"),
        (Args { images: 3, ..args(&out, 1) }, "--images"),
    ] {
        assert!(run(bad).unwrap_err().to_string().contains(word));
    }
    for bad in ["8..16", "100..50", "96..9000", "wide"] {
        assert!(SizeRange::from_str(bad).is_err(), "{bad}");
    }
    assert_eq!(SizeRange::from_str("96").unwrap(), SizeRange { low: 96, high: 96 });
    assert!(!out.exists());
}

#[test]
fn the_draw_domain_is_the_one_kept_for_synthetic_pictures() {
    let mut draw = Draw::new(0, Domain::Synthetic, [0, 2, 1, 0, 0]);
    assert_eq!(scene(2, 1).width, 80 + draw.below(81));
}
