//! `shard` with an output behind a URL.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smog_pipeline::manifest::Manifest;
use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::shard::{ShardError, ShardOptions, ShardReport, shard};
use smog_pipeline::source::{ParquetSource, Source};
use smog_tests::watch::watched;

use crate::proxy::{Fault, Request};
use crate::server::{Server, shard_options, write_images};

struct Upload {
    server: Server,
    dir: tempfile::TempDir,
}

impl Upload {
    fn new(images: u32) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        write_images(&dir.path().join("images"), images);
        Self { server: Server::start(true), dir }
    }

    fn options(&self) -> ShardOptions {
        ShardOptions {
            stage: Some(self.dir.path().join("stage")),
            remote: self.server.options(),
            ..shard_options()
        }
    }

    #[expect(clippy::result_large_err, reason = "the library's own error, which tests look into")]
    fn run(&self, options: &ShardOptions) -> Result<ShardReport, ShardError> {
        let out = self.server.url("up").to_path();
        shard(&self.dir.path().join("images"), &out, options, &())
    }

    /// Shards of the same images on this machine.
    fn local(&self, options: &ShardOptions) -> ParquetSource {
        let out = self.dir.path().join("local");
        let options = ShardOptions { overwrite: true, ..options.clone() };
        shard(&self.dir.path().join("images"), &out, &options, &()).expect("shards");
        ParquetSource::open(&out.join("train")).expect("it opens")
    }

    /// The split's folder, where the server keeps its objects.
    fn objects(&self) -> PathBuf {
        self.server.bucket().join("up/train")
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Requests that write shards.
fn uploads(log: &[Request]) -> usize {
    let writes = |request: &&Request| !matches!(request.method.as_str(), "GET" | "HEAD");
    log.iter().filter(writes).filter(|request| request.target.contains(".parquet")).count()
}

#[test]
fn a_data_set_that_was_uploaded_is_the_one_that_is_written_locally() {
    watched(|| {
        let upload = Upload::new(100);
        upload.server.proxy.rule(|request| match request.number % 7 {
            2 => Fault::Status(503),
            4 if request.method == "GET" => Fault::Drop,
            _ => Fault::None,
        });
        let report = upload.run(&upload.options()).expect("it is uploaded");
        assert_eq!(report.splits[0].num_samples, 100);
        assert_eq!(report.splits[0].dir, Path::new("s3://bucket/up/train"));
        let local = upload.local(&upload.options());
        let remote =
            ParquetSource::open_remote(&upload.server.url("up/train"), &upload.server.options())
                .expect("it opens");
        assert_eq!(remote.digest(), local.digest());
        for group in 0..local.row_groups().len() as u32 {
            let (found, expected) = (remote.read(RowGroupId(group)), local.read(RowGroupId(group)));
            assert_eq!(found.expect("read").images, expected.expect("read").images);
        }
        let kept = names(&upload.objects());
        assert_eq!(
            kept.iter().filter(|name| name.ends_with(".parquet")).count(),
            local.manifest().shards.len()
        );
        assert!(!kept.iter().any(|name| name.starts_with("unfinished")), "{kept:?}");
        let card = fs::read_to_string(upload.server.bucket().join("up/README.md")).expect("a card");
        assert!(card.contains("train/*.parquet"));

        upload.server.proxy.rule(|_| Fault::None);
        upload.server.proxy.take_log();
        assert!(upload.run(&upload.options()).expect("it is there").splits[0].already_done);
        assert_eq!(uploads(&upload.server.proxy.take_log()), 0);
    });
}

#[test]
fn a_run_that_was_stopped_leaves_no_data_set_and_goes_on_from_another_machine() {
    watched(|| {
        let upload = Upload::new(100);
        let mut options = upload.options();
        options.remote.give_up_after = Duration::from_millis(300);
        let num_shards = upload.local(&options).manifest().shards.len();
        assert!(num_shards >= 4);
        // From the third shard on nothing arrives any more.
        upload.server.proxy.rule(|request| {
            let refused = request.target.contains("train-00002") && request.method != "GET";
            if refused { Fault::Status(500) } else { Fault::None }
        });
        let error = upload.run(&options).expect_err("the store stays away");
        assert!(
            matches!(error, ShardError::Remote(_)) && error.to_string().contains("train-00002-of-"),
            "{error}"
        );
        let opened = ParquetSource::open_remote(&upload.server.url("up/train"), &options.remote);
        assert!(
            opened.err().expect("no manifest").to_string().contains("manifest.json is not there")
        );

        upload.server.proxy.rule(|_| Fault::None);
        fs::remove_dir_all(upload.dir.path().join("stage"))
            .expect("another machine has no such folder");
        upload.server.proxy.take_log();
        let report = upload.run(&upload.options()).expect("it goes on");
        assert_eq!(report.splits[0].num_resumed_shards, 2);
        let log = upload.server.proxy.take_log();
        assert!(
            !log.iter().any(
                |request| request.method == "PUT" && request.target.contains("train-00001-of-")
            )
        );
        assert_eq!(
            Manifest::read(&upload.objects()).expect("a manifest").digest,
            upload.local(&upload.options()).manifest().digest
        );
    });
}

#[test]
fn a_shard_that_was_lost_in_the_store_is_made_again() {
    watched(|| {
        let upload = Upload::new(100);
        let mut options = upload.options();
        options.remote.give_up_after = Duration::from_millis(300);
        upload.server.proxy.rule(|request| {
            let manifest = request.method == "PUT" && request.target.contains("manifest.json");
            if manifest { Fault::Status(500) } else { Fault::None }
        });
        upload.run(&options).expect_err("the manifest cannot be written");
        let shards: Vec<String> = names(&upload.objects())
            .into_iter()
            .filter(|name| name.ends_with(".parquet"))
            .collect();
        fs::write(upload.objects().join(&shards[1]), b"cut").expect("it is written");
        upload.server.proxy.rule(|_| Fault::None);
        let report = upload.run(&upload.options()).expect("it goes on");
        assert_eq!(report.splits[0].num_resumed_shards as usize, shards.len() - 1);
        let source =
            ParquetSource::open_remote(&upload.server.url("up/train"), &upload.server.options())
                .expect("it opens");
        for group in 0..source.row_groups().len() as u32 {
            source.read(RowGroupId(group)).expect("every digest holds");
        }
    });
}

#[test]
fn another_data_set_is_replaced_on_request_only_and_by_the_write_of_its_manifest() {
    watched(|| {
        let upload = Upload::new(60);
        upload.run(&upload.options()).expect("it is uploaded");
        let before = names(&upload.objects());
        let other = ShardOptions { shuffle_seed: Some(7), ..upload.options() };
        let error = upload.run(&other).expect_err("another one is there");
        assert!(
            matches!(error, ShardError::Exists { .. }) && error.to_string().contains("--overwrite"),
            "{error}"
        );
        assert_eq!(names(&upload.objects()), before);

        let replacing = ShardOptions { overwrite: true, ..other };
        let stopped = ShardOptions {
            remote: RemoteOptions {
                give_up_after: Duration::from_millis(300),
                ..replacing.remote.clone()
            },
            ..replacing.clone()
        };
        upload.server.proxy.rule(|request| {
            let manifest = request.method == "PUT" && request.target.contains("manifest.json");
            if manifest { Fault::Status(500) } else { Fault::None }
        });
        upload.run(&stopped).expect_err("the manifest cannot be written");
        upload.server.proxy.rule(|_| Fault::None);
        let open = || {
            ParquetSource::open_remote(&upload.server.url("up/train"), &upload.server.options())
                .expect("it opens")
        };
        let old = open();
        (0..old.row_groups().len() as u32)
            .for_each(|group| drop(old.read(RowGroupId(group)).expect("the old one is whole")));

        upload.run(&replacing).expect("it is replaced");
        let new = open();
        assert_eq!(new.manifest().shuffle_seed, Some(7));
        assert_ne!(new.digest(), old.digest());
        let parquet =
            |names: Vec<String>| names.into_iter().filter(|n| n.ends_with(".parquet")).count();
        assert_eq!(
            parquet(names(&upload.objects())),
            new.manifest().shards.len(),
            "the old shards are gone"
        );
    });
}

#[test]
fn web_servers_and_parts_are_refused_before_anything_is_written() {
    watched(|| {
        let upload = Upload::new(5);
        let src = upload.dir.path().join("images");
        let error = shard(&src, Path::new("https://example.org/data"), &upload.options(), &())
            .expect_err("a web server");
        assert!(error.to_string().contains("cannot be written to"), "{error}");
        let part = ShardOptions { part: Some("1/2".parse().expect("a part")), ..upload.options() };
        let error = upload.run(&part).expect_err("a part");
        assert!(error.to_string().contains("part = 1/2"), "{error}");
        assert!(upload.server.proxy.take_log().is_empty());
    });
}

#[test]
fn a_stage_leaves_alone_what_else_lies_in_its_folder() {
    watched(|| {
        let upload = Upload::new(0);
        // As with `--stage .` in the folder of images: splits of the same names, and a data set of another source.
        let images = upload.dir.path().join("images");
        write_images(&images.join("train"), 20);
        write_images(&upload.dir.path().join("others"), 5);
        let others = ShardOptions { splits: vec!["birds".to_owned()], ..shard_options() };
        shard(&upload.dir.path().join("others"), &images, &others, &()).expect("shards");
        let before = (names(&images), names(&images.join("train/cat")));
        let options = ShardOptions {
            stage: Some(images.clone()),
            splits: vec!["train".to_owned()],
            ..upload.options()
        };
        for _ in 0..2 {
            upload.run(&options).expect("it is uploaded");
            let mut now = names(&images);
            now.retain(|name| !name.starts_with(".smog-stage-"));
            assert_eq!((now, names(&images.join("train/cat"))), before);
        }
        assert_eq!(Manifest::read(&upload.objects()).expect("a manifest").num_samples, 20);
        let card = fs::read_to_string(upload.server.bucket().join("up/README.md")).expect("a card");
        assert!(card.contains("train/*.parquet") && !card.contains("birds"), "{card}");
    });
}

/// As S3 answers those who may not list: what is not there is forbidden.
fn without_listing(upload: &Upload) {
    let bucket = upload.server.bucket();
    upload.server.proxy.rule(move |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let is_there = bucket.parent().is_some_and(|root| root.join(&path[1..]).exists());
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        if reads && !is_there { Fault::Status(403) } else { Fault::None }
    });
}

#[test]
fn the_right_to_list_is_not_needed() {
    watched(|| {
        let upload = Upload::new(60);
        without_listing(&upload);
        upload.run(&upload.options()).expect("it is uploaded");
        assert_eq!(
            Manifest::read(&upload.objects()).expect("a manifest").digest,
            upload.local(&upload.options()).manifest().digest
        );
        let left: Vec<_> =
            names(&upload.objects()).into_iter().filter(|n| n.starts_with("unfinished")).collect();
        assert_eq!(left, [""; 0]);
        upload.server.proxy.take_log();
        assert!(upload.run(&upload.options()).expect("it is there").splits[0].already_done);
        assert_eq!(uploads(&upload.server.proxy.take_log()), 0);
    });
}

#[test]
fn without_the_right_to_read_nothing_is_taken_for_missing_and_written_over() {
    watched(|| {
        let upload = Upload::new(60);
        upload.run(&upload.options()).expect("it is uploaded");
        let before = names(&upload.objects());
        upload.server.proxy.rule(|request| {
            let reads = matches!(request.method.as_str(), "GET" | "HEAD");
            if reads { Fault::Status(403) } else { Fault::None }
        });
        let other = ShardOptions { shuffle_seed: Some(7), ..upload.options() };
        let message = upload.run(&other).expect_err("it cannot be known").to_string();
        assert!(message.contains("up/train/manifest.json is denied"), "{message}");
        assert!(message.contains("s3:GetObject"), "{message}");
        assert_eq!(names(&upload.objects()), before);
        // Neither is what may not be written.
        upload.server.proxy.rule(|_| Fault::Status(403));
        let message = upload.run(&other).expect_err("nothing is allowed").to_string();
        assert!(message.contains("denied") && message.contains("s3:PutObject"), "{message}");
    });
}
