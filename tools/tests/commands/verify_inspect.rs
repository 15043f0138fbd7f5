//! `smog-tools verify` finds what was done to a data set, `smog-tools inspect` shows what is in it.

use std::fs;

use crate::support::{Folder, jpeg, shards, tools};

fn data_set(folder: &Folder) -> String {
    folder.classes("src", &["ant", "bee", "cow"], 30);
    let out = folder.path("out");
    let args = ["--shard-size", "50kB", "--row-group-size", "20kB"];
    let run = tools(&[&["shard", &folder.path("src"), "--out", &out], &args[..]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    out
}

#[test]
fn a_changed_missing_or_foreign_shard_is_named() {
    let folder = Folder::new();
    let out = data_set(&folder);
    let run = tools(&["verify", &out]);
    assert!(run.code == 0 && run.stdout.contains("90 images"), "{run:?}");
    let train = format!("{out}/train");
    let names = shards(&train);
    assert!(names.len() > 2);

    let whole = fs::read(format!("{train}/{}", names[1])).unwrap();
    let mut bytes = whole.clone();
    bytes[5000] ^= 1;
    fs::write(format!("{train}/{}", names[1]), &bytes).unwrap();
    let run = tools(&["verify", &out, "--fast"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains(&format!("{}: its BLAKE3 is", names[1])), "{run:?}");

    fs::write(format!("{train}/{}", names[1]), &whole).unwrap();
    fs::write(format!("{train}/extra.parquet"), "x").unwrap();
    let run = tools(&["verify", &train]);
    assert!(run.code == 1 && run.stdout.contains("extra.parquet: not in the manifest"), "{run:?}");

    fs::remove_file(format!("{train}/extra.parquet")).unwrap();
    fs::remove_file(format!("{train}/{}", names[2])).unwrap();
    let run = tools(&["verify", &train]);
    assert!(run.code == 1 && run.stdout.contains(&names[2]), "{run:?}");
}

#[test]
fn an_image_that_does_not_decode_is_named_with_shard_and_row() {
    let folder = Folder::new();
    folder.classes("src", &["ant"], 4);
    let mut broken = jpeg(200, 200, 5);
    // Noise in the entropy-coded part: the header is whole, the picture is not.
    let middle = broken.len() / 2;
    broken[middle..middle + 400].fill(0xFF);
    fs::write(folder.path("src/ant/broken.jpg"), broken).unwrap();
    let out = folder.path("out");
    let run = tools(&["shard", &folder.path("src"), "--out", &out, "--check", "header"]);
    assert_eq!(run.code, 0, "the header alone does not tell: {run:?}");
    assert_eq!(tools(&["verify", &out, "--fast"]).code, 0);
    let run = tools(&["verify", &out]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("(ant/broken.jpg): damaged image"), "{run:?}");
    assert!(run.stdout.contains("row group 0 row "), "{run:?}");
    let run = tools(&["shard", &folder.path("src"), "--out", &folder.path("checked")]);
    assert_eq!(run.code, 3, "the full check tells: {run:?}");
}

#[test]
fn what_is_no_data_set_is_refused_by_both() {
    let folder = Folder::new();
    folder.classes("src", &["ant"], 1);
    for command in ["verify", "inspect"] {
        let run = tools(&[command, &folder.path("src")]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("smog-tools shard"), "{run:?}");
    }
}

#[test]
fn inspect_counts_classes_and_draws_the_views() {
    let folder = Folder::new();
    let out = data_set(&folder);
    let run = tools(&["inspect", &out]);
    assert_eq!(run.code, 0, "{run:?}");
    for text in
        ["90 in ", "3 with 30 to 30 images", "bee", "to 32  ###", "JPEG all", "full shuffle"]
    {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    let sheet = folder.path("views.png");
    let args = ["inspect", &out, "--sample", "3", "--preset", "cifar", "--out", &sheet];
    let run = tools(&args);
    assert_eq!(run.code, 0, "{run:?}");
    let first = fs::read(&sheet).unwrap();
    assert_eq!(&first[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(tools(&args).code, 0);
    assert_eq!(fs::read(&sheet).unwrap(), first, "the same seed gives the same views");
    assert_eq!(tools(&[&args[..], &["--epoch", "1"]].concat()).code, 0);
    assert_ne!(fs::read(&sheet).unwrap(), first, "another epoch gives others");
    let run = tools(&["inspect", &out, "--sample", "3", "--preset", "simclr", "--out", &sheet]);
    assert!(run.code == 2 && run.stderr.contains("smog_multicrop"), "{run:?}");
    let views = format!("{}/../benches/peers/recipes/one_view.json", env!("CARGO_MANIFEST_DIR"));
    let run = tools(&["inspect", &out, "--sample", "3", "--preset", &views, "--out", &sheet]);
    assert_eq!(run.code, 0, "{run:?}");
    let run = tools(&["inspect", &out, "--sample", "257", "--out", &sheet]);
    assert!(run.code == 2 && run.stderr.contains("257"), "{run:?}");
    let run = tools(&["inspect", &out, "--sample", "3", "--out", &folder.path("views.jpg")]);
    assert!(run.code == 2 && run.stderr.contains("views.png"), "{run:?}");
    assert!(!fs::exists(folder.path("views.jpg")).unwrap());
    let gone = folder.path("gone/views.png");
    let run = tools(&["inspect", &out, "--sample", "3", "--out", &gone]);
    assert_eq!(run.stderr.matches("cannot write").count(), 1, "{run:?}");
}
