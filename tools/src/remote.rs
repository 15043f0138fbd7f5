//! What every command that reads a data set takes for data behind a URL.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use smog_pipeline::manifest::{MANIFEST_FILE, Manifest, list_splits};
use smog_pipeline::remote::{CacheOptions, RemoteMetrics, RemoteOptions, RemoteUrl};
use smog_pipeline::source::{Found, Location, ParquetSource, find_with};
use smog_terminal::text;

/// Options for data behind `s3://`, `gs://`, `az://` or `https://`.
#[derive(clap::Args)]
pub(crate) struct RemoteArgs {
    /// Keep fetched row groups in this folder, in `smog-row-groups`; several runs may share it
    #[arg(long, value_name = "DIR", help_heading = "Data behind a URL")]
    cache: Option<PathBuf>,
    /// Most bytes that the cache may take
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64GiB",
        value_parser = text::parse_bytes,
        help_heading = "Data behind a URL"
    )]
    cache_bytes: u64,
    /// Row groups that are fetched at the same time
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Data behind a URL")]
    concurrent_reads: u32,
}

impl RemoteArgs {
    pub(crate) fn options(&self) -> RemoteOptions {
        RemoteOptions {
            cache: self.cache.clone().map(|dir| CacheOptions { dir, max_bytes: self.cache_bytes }),
            concurrent_reads: self.concurrent_reads,
            ..RemoteOptions::default()
        }
    }
}

/// Where a split lies.
pub(crate) enum SplitPlace {
    Folder(PathBuf),
    Url(RemoteUrl, RemoteOptions),
}

impl SplitPlace {
    /// The splits in what is named, or the one that is.
    pub(crate) fn all(given: &Path, remote: &RemoteArgs) -> anyhow::Result<Vec<Self>> {
        if let Location::Url(_) = Location::parse(given) {
            let options = remote.options();
            let Found::Remote(splits) = find_with(given, &options)? else {
                bail!("{} holds no data set", given.display());
            };
            let names = splits.names();
            return names
                .iter()
                .map(|name| Ok(Self::Url(splits.of(name)?.clone(), options.clone())))
                .collect();
        }
        if given.join(MANIFEST_FILE).is_file() {
            return Ok(vec![Self::Folder(given.to_path_buf())]);
        }
        let splits = list_splits(given);
        if splits.is_empty() {
            // Reading says what stands there instead.
            Manifest::read(given)?;
            bail!("{} holds no data set", given.display());
        }
        Ok(splits.into_iter().map(|(_, path)| Self::Folder(path)).collect())
    }

    pub(crate) fn open(&self) -> anyhow::Result<ParquetSource> {
        Ok(match self {
            Self::Folder(dir) => ParquetSource::open(dir)?,
            Self::Url(url, options) => ParquetSource::open_remote(url, options)?,
        })
    }

    /// Name of the folder.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Folder(dir) => dir.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            Self::Url(url, _) => url.name(),
        }
    }
}

impl fmt::Display for SplitPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(dir) => dir.display().fmt(f),
            Self::Url(url, _) => url.fmt(f),
        }
    }
}

/// What was fetched, in one line.
pub(crate) fn summary(metrics: &RemoteMetrics) -> String {
    let mut line = format!(
        "fetched {} with {} requests",
        text::bytes(metrics.fetched_bytes_total),
        text::count(metrics.requests_total)
    );
    if metrics.failed_requests_total + metrics.refetched_total > 0 {
        line += &format!(
            ", of which {} failed; {} row groups came cut off or wrong and were fetched again",
            text::count(metrics.failed_requests_total),
            text::count(metrics.refetched_total)
        );
    }
    let cached = metrics.cache_hits_total + metrics.cache_misses_total;
    if cached > 0 {
        line += &format!(
            "; {:.1}% of {} reads were in the cache",
            metrics.cache_hits_total as f64 * 100.0 / cached as f64,
            text::count(cached)
        );
    }
    line
}
