//! What a stream shows does not depend on where its shards lie or what happens on the way.

use std::sync::Arc;
use std::time::Duration;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::remote::{CacheOptions, RemoteOptions};
use smog_pipeline::source::{Found, ParquetSource, Source, find_with};
use smog_pipeline::stream::{BatchStream, Start, StreamConfig};
use smog_tests::streams::{config, digests, open};
use smog_tests::watch::watched;

use crate::proxy::Fault;
use crate::server::Server;

const IMAGES: u32 = 150;
/// More than two epochs of 18 steps.
const STEPS: usize = 40;

/// Settings under which row groups are read anew each epoch, some of them ahead.
fn reading_config(source: &Arc<dyn Source>) -> StreamConfig {
    let config = StreamConfig { order: OrderSettings::Window { row_groups: 3 }, ..config() };
    let forecast = open(source, &config, 0).memory();
    assert!(forecast.keeps_all, "the budget of the other tests holds everything");
    let ahead = (forecast.resident_groups_bytes - forecast.needed_groups_bytes) / 2;
    let total = forecast.total_bytes() - forecast.resident_groups_bytes;
    let memory_budget_bytes = total + forecast.needed_groups_bytes + ahead;
    let config = StreamConfig { memory_budget_bytes, ..config };
    assert!(!open(source, &config, 0).memory().keeps_all);
    config
}

fn shown(source: ParquetSource, config: &StreamConfig) -> Vec<String> {
    let source: Arc<dyn Source> = Arc::new(source);
    let mut stream = open(&source, config, 0);
    let shown = digests(&mut stream, STEPS);
    let peak = stream.metrics().peak_resident_bytes;
    assert!(peak <= stream.memory().resident_groups_bytes, "{peak} bytes were resident");
    stream.close().expect("no stage fails");
    shown
}

#[test]
fn batches_are_those_of_local_shards_whatever_happens_on_the_way() {
    watched(|| {
        let server = Server::start(true);
        let local: Arc<dyn Source> = Arc::new(server.with_data(IMAGES));
        let config = reading_config(&local);
        let expected = digests(&mut open(&local, &config, 0), STEPS);
        let options = server.options();

        let source = server.open(&options);
        assert_eq!(source.digest(), local.digest());
        assert_eq!(shown(source, &config), expected, "nothing injected");
        assert!(
            server.proxy.take_log().iter().filter(|request| request.reads_shard()).count() > 40
        );

        server.proxy.latency(Duration::from_millis(20));
        server.proxy.rule(|request| match request.number % 11 {
            _ if !request.reads_shard() => Fault::None,
            1 => Fault::Cut,
            3 => Fault::Flip,
            5 => Fault::Status(503),
            7 => Fault::Drop,
            9 => Fault::Status(429),
            _ => Fault::None,
        });
        let source = server.open(&options);
        let metrics = {
            let source: Arc<dyn Source> = Arc::new(source);
            let mut stream = open(&source, &config, 0);
            assert_eq!(digests(&mut stream, STEPS), expected, "with faults");
            stream.metrics().remote.expect("it is remote")
        };
        assert!(metrics.failed_requests_total >= 4, "{metrics:?}");
        assert!(metrics.refetched_total >= 1, "{metrics:?}");
        assert!(server.proxy.most_under_way() >= 4, "reads are ahead of the schedule");

        // A cache that holds a third of the set.
        let cache = tempfile::tempdir().expect("a folder");
        let max_bytes = local.row_groups().iter().map(|group| group.bytes).sum::<u64>() / 3;
        let options = RemoteOptions {
            cache: Some(CacheOptions { dir: cache.path().to_path_buf(), max_bytes }),
            ..options
        };
        assert_eq!(shown(server.open(&options), &config), expected, "with faults and a cache");
    });
}

#[test]
fn a_stream_continues_from_its_position_in_the_middle_of_remote_shards() {
    watched(|| {
        let server = Server::start(true);
        let local: Arc<dyn Source> = Arc::new(server.with_data(IMAGES));
        let config = reading_config(&local);
        let expected = digests(&mut open(&local, &config, 0), 30);
        let remote: Arc<dyn Source> = Arc::new(server.open(&server.options()));
        let mut stream = open(&remote, &config, 0);
        assert_eq!(digests(&mut stream, 5), expected[..5]);
        let state = stream.position();
        drop(stream);
        let mut stream = BatchStream::open(remote, config, Start::State(&state)).expect("it opens");
        assert_eq!(digests(&mut stream, 25), expected[5..]);
        stream.seek(20).expect("it moves");
        assert_eq!(digests(&mut stream, 5), expected[20..25]);
    });
}

#[test]
fn splits_are_found_without_listing_and_a_web_server_is_read_as_well() {
    watched(|| {
        let server = Server::start(false);
        let local: Arc<dyn Source> = Arc::new(server.with_data(40));
        let expected = digests(&mut open(&local, &config(), 0), 5);
        let web = format!("http://{}/bucket/data", server.proxy.address);
        let file = format!("file://{}/data/train", server.bucket().display());
        for given in [web.clone(), format!("{web}/"), format!("{web}/train"), file] {
            let found = find_with(given.as_ref(), &RemoteOptions::default()).expect("it is there");
            assert_eq!(found.splits(), ["train"], "{given}");
            assert!(matches!(found, Found::Remote(_)) && !found.has_split("val"));
            let source = found.open("train").expect("it opens");
            assert_eq!(digests(&mut open(&source, &config(), 0), 5), expected, "{given}");
        }
        assert!(
            server.proxy.take_log().iter().all(|request| !request.target.contains("list-type"))
        );
        let message = find_with(format!("{web}/nothing").as_ref(), &RemoteOptions::default())
            .expect_err("nothing is there")
            .to_string();
        assert!(message.contains("/bucket/data/nothing holds no data set"), "{message}");
    });
}

#[test]
fn a_data_set_of_the_first_version_is_read_without_digests() {
    watched(|| {
        let server = Server::start(true);
        server.with_data(40);
        let local: Arc<dyn Source> = Arc::new(server.as_first_version());
        let remote: Arc<dyn Source> = Arc::new(server.open(&server.options()));
        let expected = digests(&mut open(&local, &config(), 0), 5);
        assert_eq!(digests(&mut open(&remote, &config(), 0), 5), expected);
    });
}
