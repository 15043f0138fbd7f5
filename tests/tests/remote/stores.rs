//! az:// and gs://, against our own stand-ins for those stores.

use std::net::SocketAddr;
use std::sync::Arc;

use smog_pipeline::remote::{RemoteOptions, RemoteUrl};
use smog_pipeline::shard::{ShardOptions, shard};
use smog_pipeline::source::{ParquetSource, Source};
use smog_tests::streams::{config, digests, open};
use smog_tests::watch::watched;

use crate::double::{Double, Kind};
use crate::server::{shard_options, write_images};

fn options(kind: Kind, address: SocketAddr) -> RemoteOptions {
    let base = format!("http://{address}");
    let settings = match kind {
        Kind::Azure => vec![
            ("azure_endpoint", base),
            ("azure_allow_http", "true".to_owned()),
            ("azure_storage_account_name", "smogtest".to_owned()),
            ("azure_storage_account_key", "c21vZy10ZXN0LWtleQ==".to_owned()),
        ],
        Kind::Google => {
            let account = serde_json::json!({
                "gcs_base_url": base, "disable_oauth": true,
                "client_email": "", "private_key": "", "private_key_id": "",
            });
            vec![
                ("google_service_account_key", account.to_string()),
                ("google_allow_http", "true".to_owned()),
            ]
        }
    };
    RemoteOptions {
        give_up_after: std::time::Duration::from_secs(60),
        settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        ..RemoteOptions::default()
    }
}

/// Written through the store, read from it: the same batches as from shards on disk.
fn round_trip(kind: Kind, url: &str) {
    let double = Double::start(kind);
    let dir = tempfile::tempdir().expect("a folder");
    let images = dir.path().join("images");
    write_images(&images, 60);
    shard(&images, &dir.path().join("local"), &shard_options(), &()).expect("shards");
    let local = ParquetSource::open(&dir.path().join("local/train")).expect("it opens");

    let url = RemoteUrl::parse(url).expect("a URL");
    let remote = options(kind, double.address);
    let missing = ParquetSource::open_remote(&url.join("train"), &remote).err().expect("nothing");
    assert!(missing.to_string().contains("manifest.json is not there"), "{missing}");
    let stage = Some(dir.path().join("stage"));
    let upload = ShardOptions { stage, remote: remote.clone(), ..shard_options() };
    shard(&images, &url.to_path(), &upload, &()).expect("it is uploaded");
    double.assert_content();
    let names = double.names();
    assert!(names.iter().all(|name| name.starts_with("/smog-bucket/up/")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("unfinished")), "{names:?}");
    assert_eq!(
        names.iter().filter(|name| name.ends_with(".parquet")).count(),
        local.manifest().shards.len()
    );
    let again = shard(&images, &url.to_path(), &upload, &()).expect("it is there");
    assert!(again.splits[0].already_done);

    let found = ParquetSource::open_remote(&url.join("train"), &remote).expect("it opens");
    assert_eq!(found.digest(), local.digest());
    let [local, found]: [Arc<dyn Source>; 2] = [Arc::new(local), Arc::new(found)];
    let expected = digests(&mut open(&local, &config(), 0), 8);
    assert_eq!(digests(&mut open(&found, &config(), 0), 8), expected);
    double.assert_content();
    let parts = match kind {
        Kind::Azure => double.count("PUT blockid&comp"),
        Kind::Google => double.count("PUT partNumber&uploadId"),
    };
    assert!(parts + double.count("PUT ") >= local.row_groups().len().min(3));
}

#[test]
fn azure_gives_the_batches_of_local_shards_that_were_written_through_it() {
    watched(|| round_trip(Kind::Azure, "az://smog-bucket/up"));
}

#[test]
fn google_cloud_storage_gives_the_batches_of_local_shards_that_were_written_through_it() {
    watched(|| round_trip(Kind::Google, "gs://smog-bucket/up"));
}
