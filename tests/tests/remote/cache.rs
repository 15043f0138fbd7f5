//! Row groups on disk.

use std::fs;
use std::path::{Path, PathBuf};

use smog_pipeline::remote::{CacheOptions, RemoteOptions};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{ParquetSource, Source};
use smog_tests::watch::watched;

use crate::proxy::Fault;
use crate::server::Server;

fn with_cache(server: &Server, dir: &Path, max_bytes: u64) -> RemoteOptions {
    let cache = CacheOptions { dir: dir.to_path_buf(), max_bytes };
    RemoteOptions { cache: Some(cache), ..server.options() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn on_disk(dir: &Path) -> u64 {
    files(dir).iter().map(|path| path.metadata().expect("a file").len()).sum()
}

/// Reads everything and compares it.
fn read_all(source: &ParquetSource, local: &ParquetSource) {
    for group in 0..local.row_groups().len() as u32 {
        let (found, expected) = (source.read(RowGroupId(group)), local.read(RowGroupId(group)));
        let (found, expected) = (found.expect("read"), expected.expect("read"));
        assert_eq!((&found.images, &found.metas), (&expected.images, &expected.metas));
        assert_eq!((&found.labels, &found.paths), (&expected.labels, &expected.paths));
    }
}

#[test]
fn a_second_run_fetches_the_manifest_only() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(90);
        let dir = tempfile::tempdir().expect("a folder");
        let options = with_cache(&server, dir.path(), 1 << 30);
        let parts = local.row_groups().len() + local.manifest().shards.len();
        let first = server.open(&options);
        read_all(&first, &local);
        let metrics = first.remote_metrics().expect("remote");
        assert_eq!((metrics.cache_hits_total, metrics.cache_misses_total), (0, parts as u64));
        let bytes: u64 = local.manifest().shards.iter().map(|shard| shard.bytes).sum();
        assert_eq!(metrics.fetched_bytes_total, bytes, "each byte once");
        drop(first);

        server.proxy.take_log();
        let second = server.open(&options);
        read_all(&second, &local);
        assert_eq!(second.remote_metrics().expect("remote").cache_hits_total, parts as u64);
        let log = server.proxy.take_log();
        assert!(log.iter().all(|request| request.target.contains("manifest.json")), "{log:?}");
    });
}

#[test]
fn the_cache_stays_within_its_bound_and_what_does_not_fit_is_fetched() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(90);
        let dir = tempfile::tempdir().expect("a folder");
        let max_bytes = 60_000;
        let options = with_cache(&server, dir.path(), max_bytes);
        assert!(
            local.manifest().shards.iter().map(|shard| shard.bytes).sum::<u64>() > 2 * max_bytes
        );
        let source = server.open(&options);
        for _ in 0..2 {
            read_all(&source, &local);
            assert!(on_disk(dir.path()) <= max_bytes);
        }
        let metrics = source.remote_metrics().expect("remote");
        assert!(on_disk(dir.path()) > max_bytes / 2, "it is used");
        assert!(metrics.cache_hits_total > 0 && metrics.cache_misses_total > 0, "{metrics:?}");
    });
}

#[test]
fn what_is_damaged_on_disk_is_fetched_again() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(60);
        let dir = tempfile::tempdir().expect("a folder");
        let options = with_cache(&server, dir.path(), 1 << 30);
        read_all(&server.open(&options), &local);
        let kept: Vec<PathBuf> = files(dir.path())
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] != b'.'))
            .collect();
        for (number, path) in kept.iter().enumerate() {
            let mut bytes = fs::read(path).expect("it is there");
            match number % 3 {
                0 => bytes.truncate(number),
                1 => bytes.iter_mut().for_each(|byte| *byte = 0),
                _ => *bytes.last_mut().expect("some") ^= 1,
            }
            fs::write(path, bytes).expect("it is written");
        }
        let source = server.open(&options);
        read_all(&source, &local);
        let metrics = source.remote_metrics().expect("remote");
        assert_eq!((metrics.cache_hits_total, metrics.cache_misses_total), (0, kept.len() as u64));
        let source = server.open(&options);
        read_all(&source, &local);
        assert_eq!(source.remote_metrics().expect("remote").cache_hits_total, kept.len() as u64);
    });
}

#[test]
fn what_cannot_be_told_by_a_digest_is_kept_only_once_it_was_read() {
    watched(|| {
        let server = Server::start(true);
        server.with_data(40);
        let local = server.as_first_version();
        // Of a changed byte inside an image nothing can be told here.
        for wrong in [Fault::Flip, Fault::Zero] {
            let dir = tempfile::tempdir().expect("a folder");
            let options = with_cache(&server, dir.path(), 1 << 30);
            server
                .proxy
                .rule(move |request| if request.reads_shard() { wrong } else { Fault::None });
            let source = server.open(&options);
            let failed = (0..local.row_groups().len() as u32)
                .filter(|&group| source.read(RowGroupId(group)).is_err())
                .count();
            println!("{wrong:?}: {failed} row groups were found to be wrong");
            if wrong == Fault::Zero {
                assert_eq!(failed, local.row_groups().len());
            }
            server.proxy.rule(|_| Fault::None);
            let source = server.open(&options);
            for group in 0..local.row_groups().len() as u32 {
                source.read(RowGroupId(group)).expect("nothing wrong was kept that can be told");
            }
        }
    });
}
