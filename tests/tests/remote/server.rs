//! An S3 server in this process, and a data set in it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use jpeg_encoder::{ColorType, Encoder};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use smog_pipeline::manifest::Manifest;
use smog_pipeline::remote::{RemoteOptions, RemoteUrl};
use smog_pipeline::shard::{ShardOptions, shard};
use smog_pipeline::source::ParquetSource;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::proxy::Proxy;

const KEY: &str = "smog-test-key";
const SECRET: &str = "smog-test-secret";
const BUCKET: &str = "bucket";

/// A folder that is served, and a proxy in front of the server.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    /// Stops the server with its drop.
    _runtime: Runtime,
    pub(crate) proxy: Proxy,
}

impl Server {
    /// Starts both. Without a password anybody may read, as from a web server.
    pub(crate) fn start(with_password: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join(BUCKET)).expect("a bucket");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-server")
            .enable_all()
            .build()
            .expect("a runtime");
        let address = runtime.block_on(serve(dir.path(), with_password)).expect("it listens");
        Self { dir, _runtime: runtime, proxy: Proxy::start(address) }
    }

    /// Where the bucket's objects lie as files.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }

    /// `s3://bucket/PATH`.
    pub(crate) fn url(&self, path: &str) -> RemoteUrl {
        RemoteUrl::parse(&format!("s3://{BUCKET}/{path}")).expect("a URL")
    }

    /// How the server is reached through the proxy.
    pub(crate) fn options(&self) -> RemoteOptions {
        options_at(&self.proxy.address.to_string())
    }

    /// Puts a data set of `images` images into the bucket's folder `data` and opens its only split there, as a
    /// local one.
    pub(crate) fn with_data(&self, images: u32) -> ParquetSource {
        let src = self.dir.path().join("images");
        write_images(&src, images);
        shard(&src, &self.bucket().join("data"), &shard_options(), &()).expect("shards");
        ParquetSource::open(&self.bucket().join("data/train")).expect("it opens")
    }

    /// Makes a data set of layout version 1, which has no digests of row groups, of what [`Server::with_data`] put
    /// there, and opens it as a local one.
    pub(crate) fn as_first_version(&self) -> ParquetSource {
        let split = self.bucket().join("data/train");
        let mut manifest = Manifest::read(&split).expect("a manifest");
        manifest.version = 1;
        for shard in &mut manifest.shards {
            shard.footer = None;
            shard.row_groups.iter_mut().for_each(|group| group.span = None);
        }
        manifest.digest = manifest.content_digest();
        manifest.write(&split).expect("it is written");
        ParquetSource::open(&split).expect("it opens")
    }

    /// Opens what [`Server::with_data`] put there.
    pub(crate) fn open(&self, options: &RemoteOptions) -> ParquetSource {
        ParquetSource::open_remote(&self.url("data/train"), options).expect("it opens")
    }
}

/// How the server is reached behind an address.
pub(crate) fn options_at(address: &str) -> RemoteOptions {
    let settings = [
        ("aws_endpoint_url", format!("http://{address}")),
        ("aws_allow_http", "true".to_owned()),
        ("aws_region", "us-east-1".to_owned()),
        ("aws_access_key_id", KEY.to_owned()),
        ("aws_secret_access_key", SECRET.to_owned()),
    ];
    RemoteOptions {
        // Long enough for a busy machine; what should fail soon says so itself.
        give_up_after: Duration::from_secs(60),
        settings: settings.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        ..RemoteOptions::default()
    }
}

async fn serve(root: &Path, with_password: bool) -> io::Result<SocketAddr> {
    let files = FileSystem::new(root).expect("a folder");
    let mut builder = S3ServiceBuilder::new(files);
    if with_password {
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    }
    let service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // A connection that the proxy cut is none of the server's faults.
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    Ok(address)
}

/// Small shards of small row groups.
pub(crate) fn shard_options() -> ShardOptions {
    ShardOptions {
        shard_bytes: 30_000,
        row_group_bytes: 8_000,
        row_group_rows: 7,
        jobs: 2,
        ..ShardOptions::default()
    }
}

/// JPEGs of several sizes in two class folders.
pub(crate) fn write_images(dir: &Path, count: u32) {
    for number in 0..count {
        let class = dir.join(if number % 3 == 0 { "cat" } else { "dog" });
        std::fs::create_dir_all(&class).expect("a folder");
        let (width, height) = (24 + number as u16 % 17, 20 + number as u16 % 11);
        let pixels: Vec<u8> = (0..u32::from(width) * u32::from(height) * 3)
            .map(|byte| (byte.wrapping_mul(7 + number) % 251) as u8)
            .collect();
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, 90)
            .encode(&pixels, width, height, ColorType::Rgb)
            .expect("it encodes");
        std::fs::write(class.join(format!("{number:04}.jpg")), bytes).expect("a file");
    }
}
