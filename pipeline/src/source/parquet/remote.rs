//! Row groups from shards behind a URL.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::RecordBatch;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::super::rows::COLUMNS;
use super::super::{Fetch, OpenError, RowGroup, SourceError, footer, places};
use super::range::FileRange;
use super::split::Split;
use crate::manifest::{Digest, MANIFEST_FILE, Manifest, ManifestError};
use crate::remote::{
    Cache, CachePart, Client, RemoteError, RemoteMetrics, RemoteOptions, RemoteUrl, Requests,
};
use crate::sample::RowGroupId;

/// Bytes at the end of a file that are fetched first where the manifest does not say how long its footer is.
const TAIL_BYTES: u64 = 64 << 10;
/// How often a manifest is fetched that contradicts itself: it may have been damaged on its way.
const MANIFEST_ATTEMPTS: u32 = 3;

/// The shards of a remote split.
pub(super) struct RemoteShards {
    client: Client,
    shared: Arc<Shared>,
    concurrent_reads: u32,
}

/// What the tasks need.
struct Shared {
    requests: Requests,
    cache: Option<Arc<Cache>>,
    /// Whether a shard's footer was read; keeps two tasks from fetching the same one.
    footers: Vec<OnceCell<()>>,
}

/// A part of a shard to fetch.
struct Part<'a> {
    shard: u32,
    file: &'a str,
    part: CachePart,
    range: Range<u64>,
    expected: Option<Digest>,
}

impl RemoteShards {
    /// Fetches the manifest behind `url`.
    pub(super) fn open(
        url: &RemoteUrl,
        options: &RemoteOptions,
    ) -> Result<(Manifest, Self), OpenError> {
        let client = Client::new(url.clone(), options)?;
        let manifest = fetch_manifest(&client)?;
        if manifest.shards.iter().any(|shard| shard.footer.is_none()) {
            tracing::warn!(
                %url,
                "this data set was written before row groups had digests: wrong bytes cannot be told from right \
                 ones; write it anew"
            );
        }
        let cache = options.cache.as_ref().map(|cache| Cache::open(cache, &manifest.digest));
        let shared = Shared {
            requests: client.requests().clone(),
            cache: cache.transpose()?.map(Arc::new),
            footers: manifest.shards.iter().map(|_| OnceCell::new()).collect(),
        };
        let concurrent_reads = options.concurrent_reads.max(1);
        Ok((manifest, Self { client, shared: Arc::new(shared), concurrent_reads }))
    }

    pub(super) fn concurrent_reads(&self) -> u32 {
        self.concurrent_reads
    }

    pub(super) fn metrics(&self) -> RemoteMetrics {
        self.client.metrics()
    }

    /// Begins to fetch a row group.
    pub(super) fn fetch(&self, split: &Arc<Split>, group: RowGroupId) -> Fetch {
        let (sender, fetch) = Fetch::channel();
        let (shared, split) = (Arc::clone(&self.shared), Arc::clone(split));
        let task = self.client.spawn(async move {
            // Nobody takes it where the stream was stopped meanwhile.
            let _ = sender.send(shared.read(split, group).await);
        });
        fetch.with_task(task.abort_handle())
    }

    /// Fetches a row group and waits for it.
    pub(super) fn read(
        &self,
        split: &Arc<Split>,
        group: RowGroupId,
    ) -> Result<RowGroup, SourceError> {
        let fetch = self.fetch(split, group);
        fetch.arrived().recv().unwrap_or_else(|_| {
            Err(split.damaged(group, "the fetch ended without a result".to_owned()))
        })
    }

    /// Fetches some columns of a row group and waits for them. They are not compared with a digest, for that is
    /// one of all columns together.
    pub(super) fn read_columns(
        &self,
        split: &Arc<Split>,
        group: RowGroupId,
        columns: &'static [&'static str],
    ) -> Result<RecordBatch, SourceError> {
        let (shared, task_split) = (Arc::clone(&self.shared), Arc::clone(split));
        let fetched =
            self.client.wait(async move { Ok(shared.columns(&task_split, group, columns).await) });
        let (start, bytes) = fetched.map_err(|source| remote(split, group, source))??;
        split.batch(group, columns, start, bytes)
    }

    /// Length of a shard as it lies there now.
    pub(super) fn shard_length(&self, split: &Split, shard: usize) -> Result<u64, SourceError> {
        let requests = self.shared.requests.clone();
        let file = split.manifest.shards[shard].file.clone();
        self.client.wait(async move { requests.length(&file).await }).map_err(|source| {
            SourceError::Remote {
                shard: split.shards[shard].path.clone(),
                row_group: 0,
                source: Box::new(source),
            }
        })
    }
}

fn fetch_manifest(client: &Client) -> Result<Manifest, OpenError> {
    let url = client.requests().url().join(MANIFEST_FILE);
    let mut attempt = 1;
    loop {
        let requests = client.requests().clone();
        let text = client.wait(async move { requests.whole(MANIFEST_FILE).await })?;
        match Manifest::parse(&url.to_path(), &text) {
            Ok(manifest) => return Ok(manifest),
            Err(error @ (ManifestError::Json { .. } | ManifestError::Invalid { .. }))
                if attempt < MANIFEST_ATTEMPTS =>
            {
                tracing::warn!(%url, %error, "fetching the manifest again");
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn remote(split: &Split, group: RowGroupId, source: RemoteError) -> SourceError {
    match split.numbers(group) {
        Ok((shard, row_group)) => SourceError::Remote {
            shard: split.shards[shard as usize].path.clone(),
            row_group,
            source: Box::new(source),
        },
        Err(error) => error,
    }
}

impl Shared {
    /// A row group with its footer, both at the same time where the manifest says where they lie.
    async fn read(
        self: Arc<Self>,
        split: Arc<Split>,
        group: RowGroupId,
    ) -> Result<RowGroup, SourceError> {
        let (shard, number) = split.numbers(group)?;
        let listed = &split.manifest.shards[shard as usize];
        let part = |range, expected| Part {
            shard,
            file: &listed.file,
            part: CachePart::RowGroup(number),
            range,
            expected,
        };
        // Without a digest only reading tells that it is the row group, and nothing wrong may be kept.
        let mut unproven = None;
        let (start, bytes) = match listed.row_groups[number as usize].span {
            Some(span) => {
                let fetched = async {
                    let part = part(span.range(), Some(span.blake3));
                    self.part(part).await.map_err(|source| remote(&split, group, source))
                };
                let (_, bytes) = tokio::try_join!(self.footer(&split, shard), fetched)?;
                (span.offset, bytes)
            }
            None => {
                self.footer(&split, shard).await?;
                let range = split.span(group, &COLUMNS)?;
                let start = range.start;
                let fetched = self.part(part(range, None)).await;
                let bytes = fetched.map_err(|source| remote(&split, group, source))?;
                unproven = Some(bytes.clone());
                (start, bytes)
            }
        };
        let parsing = Arc::clone(&split);
        let parsed = tokio::task::spawn_blocking(move || {
            let batch = parsing.batch(group, &COLUMNS, start, bytes)?;
            parsing.row_group(group, &batch)
        });
        let parsed = parsed.await.unwrap_or_else(|error| {
            Err(split.damaged(group, format!("its rows were not read: {error}")))
        })?;
        if let Some(bytes) = unproven {
            self.keep(shard, CachePart::RowGroup(number), bytes).await;
        }
        Ok(parsed)
    }

    /// Some columns of a row group, and where their bytes begin.
    async fn columns(
        &self,
        split: &Split,
        group: RowGroupId,
        columns: &[&str],
    ) -> Result<(u64, Bytes), SourceError> {
        let (shard, _) = split.numbers(group)?;
        self.footer(split, shard).await?;
        let span = split.span(group, columns)?;
        let file = &split.manifest.shards[shard as usize].file;
        let fetched = self.requests.range(file, span.clone(), None).await;
        Ok((span.start, fetched.map_err(|source| remote(split, group, source))?))
    }

    /// Reads a shard's footer, unless that was done.
    async fn footer(&self, split: &Split, shard: u32) -> Result<(), SourceError> {
        let read = || async {
            let listed = &split.manifest.shards[shard as usize];
            let path = &split.shards[shard as usize].path;
            let failed = |source| SourceError::Remote {
                shard: path.clone(),
                row_group: 0,
                source: Box::new(source),
            };
            let tail = |bytes: u64| listed.bytes.saturating_sub(bytes)..listed.bytes;
            let (mut range, expected) = match listed.footer {
                Some(span) => (span.range(), Some(span.blake3)),
                None => (tail(TAIL_BYTES), None),
            };
            loop {
                let part = Part {
                    shard,
                    file: &listed.file,
                    part: CachePart::Footer,
                    range: range.clone(),
                    expected,
                };
                let start = range.start;
                let bytes = self.part(part).await.map_err(failed)?;
                // Asked first, so that a longer footer is fetched and not refused.
                if let Ok(length) = footer::length(&bytes)
                    && length + places::TAIL_BYTES > listed.bytes - start
                    && length + places::TAIL_BYTES <= listed.bytes
                {
                    range = tail(length + places::TAIL_BYTES);
                    continue;
                }
                let unproven = expected.is_none().then(|| bytes.clone());
                let reader = FileRange { start, bytes, file_bytes: listed.bytes };
                split.read_footer(shard, 0, &reader)?;
                if let Some(bytes) = unproven {
                    self.keep(shard, CachePart::Footer, bytes).await;
                }
                return Ok(());
            }
        };
        self.footers[shard as usize].get_or_try_init(read).await?;
        Ok(())
    }

    /// A part from the cache, or else from the store. It is kept if it has a digest.
    async fn part(&self, part: Part<'_>) -> Result<Bytes, RemoteError> {
        let Part { shard, file, part, range, expected } = part;
        let length = range.end - range.start;
        let counters = self.requests.counters();
        if let Some(cache) = self.cache.clone() {
            let found = tokio::task::spawn_blocking(move || cache.get(shard, part, expected)).await;
            if let Some(bytes) = found.ok().flatten().filter(|found| found.len() as u64 == length) {
                counters.cache_hits.fetch_add(1, Relaxed);
                return Ok(bytes);
            }
            counters.cache_misses.fetch_add(1, Relaxed);
        }
        let bytes = self.requests.range(file, range, expected).await?;
        if expected.is_some() {
            self.keep(shard, part, bytes.clone()).await;
        }
        Ok(bytes)
    }

    /// Puts a part into the cache.
    async fn keep(&self, shard: u32, part: CachePart, bytes: Bytes) {
        if let Some(cache) = self.cache.clone() {
            // Waited for, so that the bytes are not held longer than the budget knows of.
            let _ = tokio::task::spawn_blocking(move || cache.put(shard, part, &bytes)).await;
        }
    }
}
