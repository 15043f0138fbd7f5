//! What cannot be mended ends with an error that names everything, and never with a hang.

use std::sync::Arc;
use std::time::Duration;

use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{OpenError, ParquetSource, Source, SourceError};
use smog_tests::streams::{config, open};
use smog_tests::watch::watched;

use crate::proxy::Fault;
use crate::server::Server;

/// The error and its causes, as the programs print them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn read_error(source: &ParquetSource, group: u32) -> String {
    chain(&source.read(RowGroupId(group)).expect_err("it cannot be read"))
}

#[test]
fn wrong_bytes_again_and_again_name_url_row_group_and_both_digests() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(60);
        let source = server.open(&server.options());
        server.proxy.rule(|request| if request.reads_shard() { Fault::Flip } else { Fault::None });
        let group = RowGroupId(source.row_groups().len() as u32 - 1);
        let error = source.read(group).expect_err("it is damaged");
        assert!(matches!(error, SourceError::Remote { .. }));
        let message = chain(&error);
        let (path, number) = local.place(group).expect("it is there");
        let file = path.file_name().expect("a name").to_string_lossy();
        let shard = local.manifest().shards.last().expect("some");
        let spans = [shard.row_groups[number as usize].span, shard.footer].map(Option::unwrap);
        // Row group and footer are fetched at the same time; either may be found out first.
        assert!(
            spans.iter().any(|span| message.contains(&span.blake3.to_string())
                && message.contains(&format!("bytes {} to {}", span.offset, span.range().end))),
            "{message}"
        );
        for part in
            [&format!("s3://bucket/data/train/{file}"), "4 times in a row", "smog-tools verify"]
        {
            assert!(message.contains(part), "{message} should say {part}");
        }
    });
}

#[test]
fn a_store_that_stays_away_is_given_up_and_the_last_answer_told() {
    watched(|| {
        let server = Server::start(true);
        server.with_data(60);
        let options =
            RemoteOptions { give_up_after: Duration::from_millis(1500), ..server.options() };
        let remote: Arc<dyn Source> = Arc::new(server.open(&options));
        server.proxy.rule(|_| Fault::Status(503));
        let mut stream = open(&remote, &config(), 0);
        let message = chain(&stream.next_batch().expect_err("nothing can be read"));
        for part in
            ["smog-read failed", "s3://bucket/data/train/train-0000", "given up after", "503"]
        {
            assert!(message.contains(part), "{message} should say {part}");
        }
        assert!(remote.remote_metrics().expect("remote").failed_requests_total > 2);

        server.proxy.rule(|_| Fault::Drop);
        let remote = remote.read(RowGroupId(0)).expect_err("nothing can be read");
        assert!(chain(&remote).contains("given up after"), "{}", chain(&remote));
    });
}

#[test]
fn what_is_missing_or_forbidden_fails_at_once_with_the_key_and_what_to_look_at() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(60);
        let options = server.options();
        let source = server.open(&options);
        let (path, _) = local.place(RowGroupId(0)).expect("it is there");
        std::fs::remove_file(path).expect("it was there");
        server.proxy.take_log();
        let message = read_error(&source, 0);
        let file = path.file_name().expect("a name").to_string_lossy();
        assert!(
            message.contains(&format!("s3://bucket/data/train/{file} is not there")),
            "{message}"
        );
        assert!(server.proxy.take_log().len() <= 2, "not repeated");

        let mut wrong = options.clone();
        wrong.settings.last_mut().expect("some").1 = "not-the-secret".to_owned();
        let error =
            ParquetSource::open_remote(&server.url("data/train"), &wrong).err().expect("denied");
        assert!(matches!(error, OpenError::Remote(_)));
        let message = chain(&error);
        for part in ["manifest.json is denied", "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"] {
            assert!(message.contains(part), "{message} should say {part}");
        }
        for secret in ["not-the-secret", "smog-test-key", "smog-test-secret"] {
            assert!(!message.contains(secret), "{message}");
        }
        let unknown =
            RemoteOptions { settings: vec![("aws_colour".into(), "red".into())], ..options };
        let error =
            ParquetSource::open_remote(&server.url("data/train"), &unknown).err().expect("unknown");
        assert!(error.to_string().contains("`aws_colour` is no setting"), "{error}");
    });
}

#[test]
fn a_stream_that_waits_for_a_silent_store_can_be_closed() {
    watched(|| {
        let server = Server::start(true);
        server.with_data(60);
        let remote: Arc<dyn Source> = Arc::new(server.open(&server.options()));
        server.proxy.rule(|_| Fault::Stall);
        let stream = open(&remote, &config(), 0);
        smog_tests::watch::eventually("requests are under way", || {
            server.proxy.take_log().iter().any(|request| request.reads_shard())
        });
        stream.close().expect("no stage fails");
        drop(remote);
    });
}

#[test]
fn a_connection_that_stands_still_is_replaced() {
    watched(|| {
        let server = Server::start(true);
        let local = server.with_data(60);
        let options = RemoteOptions { stall_after: Duration::from_secs(1), ..server.options() };
        let source = server.open(&options);
        let first = std::sync::atomic::AtomicBool::new(true);
        server.proxy.rule(move |_| {
            let stalls = first.swap(false, std::sync::atomic::Ordering::SeqCst);
            if stalls { Fault::Stall } else { Fault::None }
        });
        let (found, expected) = (source.read(RowGroupId(0)), local.read(RowGroupId(0)));
        assert_eq!(found.expect("read").images, expected.expect("read").images);
    });
}
