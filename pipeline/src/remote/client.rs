//! Requests to one remote folder: repeated where that helps, checked, counted.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::client::HttpError;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::error::RemoteError;
use super::http::{Counters, RemoteMetrics};
use super::options::RemoteOptions;
use super::store::{FIRST_BACKOFF, LONGEST_BACKOFF, store};
use super::url::RemoteUrl;
use crate::manifest::Digest;

/// Names of the threads.
const THREAD: &str = "remote-io";
/// Threads that drive requests; two keep up with ten gigabits.
const THREADS: usize = 2;
/// Threads that read and write the cache, compare digests and look up names.
const BLOCKING_THREADS: usize = 4;
/// How often the same wrong bytes are fetched: more often would only load the store.
const MAX_WRONG: u32 = 4;
/// Letters of an answer that are shown.
const LONGEST_ANSWER: usize = 300;
/// Bytes of one part of an upload. The largest object has 10,000 parts: 80 GiB.
const PART_BYTES: usize = 8 << 20;
/// Parts of an upload that are under way at the same time.
const CONCURRENT_PARTS: usize = 4;

/// The threads for requests, and the folder that they go to. Dropping it stops what is under way.
#[derive(Debug)]
pub(crate) struct Client {
    /// Always there until the drop.
    runtime: Option<Runtime>,
    requests: Requests,
}

impl Client {
    /// Starts the threads. Nothing is sent yet.
    pub(crate) fn new(url: RemoteUrl, options: &RemoteOptions) -> Result<Self, RemoteError> {
        let counters = Arc::new(Counters::default());
        let store = store(&url, options, &counters)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .map_err(RemoteError::Runtime)?;
        let requests = Requests { store, url, counters, give_up_after: options.give_up_after };
        Ok(Self { runtime: Some(runtime), requests })
    }

    /// The requests, for tasks.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What was counted so far.
    pub(crate) fn metrics(&self) -> RemoteMetrics {
        self.requests.counters.snapshot()
    }

    /// Starts a task; its result comes through the channel. Dropping the channel's end stops nothing.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime().spawn(task)
    }

    /// Runs a task and waits for it. Must not be called from a task.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, RemoteError>> + Send + 'static,
    ) -> Result<T, RemoteError> {
        // On the runtime's own threads, so that the caller's stack does not matter.
        let (result, done) = oneshot::channel();
        self.spawn(async move {
            let _ = result.send(task.await);
        });
        done.blocking_recv()
            .unwrap_or_else(|_| Err(RemoteError::Stopped { url: self.requests.url.to_string() }))
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken by the drop only")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Requests may stand still for long; their results are of no use to anybody.
            runtime.shutdown_background();
        }
    }
}

/// Requests to the objects of one remote folder.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    store: Arc<dyn ObjectStore>,
    url: RemoteUrl,
    counters: Arc<Counters>,
    give_up_after: Duration,
}

/// Why one attempt failed.
enum Failure {
    Store(object_store::Error),
    Short { expected: u64, found: u64 },
    Wrong { expected: Digest, found: Digest },
}

impl Requests {
    /// The folder.
    pub(crate) fn url(&self) -> &RemoteUrl {
        &self.url
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The same store, one folder further in.
    pub(crate) fn within(&self, name: &str) -> Self {
        Self { url: self.url.join(name), ..self.clone() }
    }

    /// A part of an object, compared with its digest where that is known.
    pub(crate) async fn range(
        &self,
        name: &str,
        range: Range<u64>,
        expected: Option<Digest>,
    ) -> Result<Bytes, RemoteError> {
        let object = self.url.join(name);
        let length = range.end - range.start;
        let attempt = || async {
            let bytes = self
                .store
                .get_range(object.prefix(), range.clone())
                .await
                .map_err(Failure::Store)?;
            if bytes.len() as u64 != length {
                return Err(Failure::Short { expected: length, found: bytes.len() as u64 });
            }
            let Some(expected) = expected else { return Ok(bytes) };
            let hashed = bytes.clone();
            let found = tokio::task::spawn_blocking(move || Digest::of(&hashed))
                .await
                .map_err(|error| Failure::Store(error.into()))?;
            if found == expected { Ok(bytes) } else { Err(Failure::Wrong { expected, found }) }
        };
        let bytes = self.repeat("read", &object, Some(&range), attempt).await?;
        self.counters.fetched_bytes.fetch_add(length, Relaxed);
        Ok(bytes)
    }

    /// A small object as a whole.
    pub(crate) async fn whole(&self, name: &str) -> Result<Bytes, RemoteError> {
        let object = self.url.join(name);
        let attempt = || async {
            let result = self.store.get(object.prefix()).await.map_err(Failure::Store)?;
            let expected = result.meta.size;
            let bytes = result.bytes().await.map_err(Failure::Store)?;
            let found = bytes.len() as u64;
            if found == expected { Ok(bytes) } else { Err(Failure::Short { expected, found }) }
        };
        self.repeat("read", &object, None, attempt).await
    }

    /// Length of an object in bytes.
    pub(crate) async fn length(&self, name: &str) -> Result<u64, RemoteError> {
        let object = self.url.join(name);
        let attempt = || async {
            self.store.head(object.prefix()).await.map(|meta| meta.size).map_err(Failure::Store)
        };
        self.repeat("look at", &object, None, attempt).await
    }

    /// Writes a small object as a whole.
    pub(crate) async fn put(&self, name: &str, content: Bytes) -> Result<(), RemoteError> {
        let object = self.url.join(name);
        let attempt = || async {
            let payload = PutPayload::from_bytes(content.clone());
            self.store.put(object.prefix(), payload).await.map(|_| ()).map_err(Failure::Store)
        };
        self.repeat("write", &object, None, attempt).await
    }

    /// Removes an object; one that is not there is fine.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), RemoteError> {
        let object = self.url.join(name);
        let attempt = || async { self.store.delete(object.prefix()).await.map_err(Failure::Store) };
        match self.repeat("remove", &object, None, attempt).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Uploads a file in parts. The object appears as a whole when the last part is there, or not at all.
    pub(crate) async fn upload(&self, name: &str, path: &Path) -> Result<(), RemoteError> {
        let object = self.url.join(name);
        let unreadable = |source| RemoteError::Upload { path: path.to_path_buf(), source };
        let started = Instant::now();
        let mut attempts = 0;
        let length = loop {
            attempts += 1;
            let file = File::open(path).map_err(unreadable)?;
            let length = file.metadata().map_err(unreadable)?.len();
            match self.send_parts(&object, file).await {
                Ok(()) => break length,
                Err(PartsError::File(source)) => return Err(unreadable(source)),
                Err(PartsError::Store(error)) => {
                    self.pause("write", &object, None, Failure::Store(error), attempts, started)
                        .await?;
                }
            }
        };
        let found = self.length(name).await?;
        if found == length {
            Ok(())
        } else {
            Err(RemoteError::UploadSize { url: object.to_string(), found, expected: length })
        }
    }

    async fn send_parts(&self, object: &RemoteUrl, mut file: File) -> Result<(), PartsError> {
        let upload = self.store.put_multipart(object.prefix()).await.map_err(PartsError::Store)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut sent = Ok(());
        loop {
            if let Err(error) = parts.wait_for_capacity(CONCURRENT_PARTS).await {
                sent = Err(PartsError::Store(error));
                break;
            }
            let read = tokio::task::spawn_blocking(move || {
                let mut part = Vec::new();
                let read = file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
                (file, read.map(|_| part))
            });
            match read.await {
                Ok((back, Ok(part))) => {
                    file = back;
                    if part.is_empty() {
                        break;
                    }
                    parts.put(part.into());
                }
                Ok((_, Err(error))) => {
                    sent = Err(PartsError::File(error));
                    break;
                }
                Err(error) => {
                    sent = Err(PartsError::Store(error.into()));
                    break;
                }
            }
        }
        match sent {
            // Aborts by itself where it fails.
            Ok(()) => parts.finish().await.map(|_| ()).map_err(PartsError::Store),
            Err(error) => {
                // Parts that are left cost money until the store's own rule removes them; nothing can be done.
                let _ = parts.abort().await;
                Err(error)
            }
        }
    }

    /// Repeats `attempt` until it succeeds, cannot succeed, or the time is up. What the store answers with an
    /// error is repeated within the store already; what is left are bodies that are cut off or wrong.
    async fn repeat<T, F>(
        &self,
        action: &'static str,
        object: &RemoteUrl,
        range: Option<&Range<u64>>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    self.pause(action, object, range, failure, attempts, started).await?;
                    self.counters.refetched.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// Waits before the next attempt, or says why there is none.
    async fn pause(
        &self,
        action: &'static str,
        object: &RemoteUrl,
        range: Option<&Range<u64>>,
        failure: Failure,
        attempts: u32,
        started: Instant,
    ) -> Result<(), RemoteError> {
        let url = object.to_string();
        let over = started.elapsed() >= self.give_up_after;
        match (failure, range) {
            (Failure::Wrong { expected, found }, Some(range)) if over || attempts >= MAX_WRONG => {
                let (offset, end) = (range.start, range.end);
                return Err(RemoteError::WrongBytes {
                    url,
                    offset,
                    end,
                    expected,
                    found,
                    attempts,
                });
            }
            (Failure::Wrong { .. }, _) => {
                tracing::warn!(
                    url,
                    attempts,
                    "other bytes than the manifest says; fetching them again"
                );
            }
            (Failure::Short { expected, found }, _) => {
                if over {
                    let elapsed = started.elapsed();
                    let answer = format!("{found} of {expected} bytes came");
                    return Err(RemoteError::GaveUp { action, url, elapsed, answer });
                }
                tracing::warn!(url, attempts, found, expected, "cut off; fetching it again");
            }
            (Failure::Store(object_store::Error::NotFound { .. }), _) => {
                return Err(RemoteError::NotFound { url });
            }
            (Failure::Store(error), _) => {
                let answer = answer(&error);
                if matches!(
                    error,
                    object_store::Error::PermissionDenied { .. }
                        | object_store::Error::Unauthenticated { .. }
                ) {
                    return Err(RemoteError::Denied { url, answer, hint: object.hint() });
                }
                if over {
                    let elapsed = started.elapsed();
                    return Err(RemoteError::GaveUp { action, url, elapsed, answer });
                }
                if !is_transport(&error) {
                    return Err(RemoteError::Failed { action, url, answer });
                }
                tracing::warn!(url, attempts, answer, "the connection failed; trying again");
            }
        }
        tokio::time::sleep(backoff(attempts)).await;
        Ok(())
    }
}

/// Why parts could not be sent.
enum PartsError {
    File(std::io::Error),
    Store(object_store::Error),
}

/// Whether the connection failed, as opposed to the store refusing.
fn is_transport(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the store said, in one line. Its pages of XML hold key ids and signatures, so only code and message are
/// taken from them.
fn answer(error: &object_store::Error) -> String {
    let text = error.to_string();
    let tag = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
    };
    if let Some(code) = tag("Code") {
        return tag("Message").map_or(code.to_owned(), |message| format!("{code}: {message}"));
    }
    // In front of the dash stands what was tried, which the message says already.
    let said = text.split_once(" - ").map_or(text.as_str(), |(_, said)| said);
    let mut said: String = said.chars().take(LONGEST_ANSWER).collect();
    let mut root: &dyn Error = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    let root = root.to_string();
    if root.len() <= LONGEST_ANSWER && !text.contains(&root) {
        said = format!("{}: {root}", said.trim_end());
    }
    said
}

/// Doubles from one attempt to the next, less a random share of up to a half, so that many readers that failed
/// together do not come back together. Random numbers from the system: what is read does not depend on them.
fn backoff(attempts: u32) -> Duration {
    let full = FIRST_BACKOFF.saturating_mul(1 << attempts.min(16)).min(LONGEST_BACKOFF);
    let random = RandomState::new().hash_one(attempts) as u32;
    full.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 2.0)
}
