//! The HTTP client below the stores, with counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use serde::Serialize;

/// What was fetched, since the source was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemoteMetrics {
    /// HTTP requests, repeated ones included.
    pub requests_total: u64,
    /// Requests that failed or were answered by an error, and were repeated or given up.
    pub failed_requests_total: u64,
    /// Row groups and footers that were fetched anew: cut off, or other bytes than the manifest says.
    pub refetched_total: u64,
    /// Bytes of row groups and footers that arrived whole.
    pub fetched_bytes_total: u64,
    /// Row groups and footers that were in the cache.
    pub cache_hits_total: u64,
    /// Row groups and footers that were not, or were damaged there.
    pub cache_misses_total: u64,
}

/// The counters behind [`RemoteMetrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) failed_requests: AtomicU64,
    pub(crate) refetched: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> RemoteMetrics {
        RemoteMetrics {
            requests_total: self.requests.load(Relaxed),
            failed_requests_total: self.failed_requests.load(Relaxed),
            refetched_total: self.refetched.load(Relaxed),
            fetched_bytes_total: self.fetched_bytes.load(Relaxed),
            cache_hits_total: self.cache_hits.load(Relaxed),
            cache_misses_total: self.cache_misses.load(Relaxed),
        }
    }
}

/// Makes clients that count.
#[derive(Debug)]
pub(super) struct CountingConnector(pub(super) Arc<Counters>);

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Fails where there is one already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Counting { client, counters: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct Counting {
    client: HttpClient,
    counters: Arc<Counters>,
}

#[async_trait::async_trait]
impl HttpService for Counting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.counters.requests.fetch_add(1, Relaxed);
        let result = self.client.execute(request).await;
        let failed = match &result {
            Ok(response) => {
                let status = response.status();
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            Err(_) => true,
        };
        self.counters.failed_requests.fetch_add(u64::from(failed), Relaxed);
        result
    }
}
