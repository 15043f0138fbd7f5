//! Objects that may not be there.
//!
//! Of an object that is missing, S3 says "access denied" to those who may not list the bucket, and that is no right
//! that writing shards needs. What may not be read at all gets the same answer, and to take that for missing would be
//! to write over a data set. So where access is denied, a small object is written and read: if it can be read, so
//! could the other be, were it there.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::remote::{Client, RemoteError, Requests};

/// Content of the object that is written and read to see whether reading is allowed; it is removed at once.
const PROBE_TEXT: &[u8] =
    b"written by smog-tools shard to see whether it may be read; not needed any more\n";

/// Reads from one folder of a store.
pub(super) struct Lookup {
    client: Arc<Client>,
    requests: Requests,
    /// Set where "denied" was found to mean "missing".
    may_read: OnceLock<()>,
}

impl Lookup {
    pub(super) fn new(client: Arc<Client>, requests: Requests) -> Self {
        Self { client, requests, may_read: OnceLock::new() }
    }

    /// A small object; `None` where it is not there.
    pub(super) fn get(&self, name: &'static str) -> Result<Option<Bytes>, RemoteError> {
        let requests = self.requests.clone();
        match self.client.wait(async move { requests.whole(name).await }) {
            Ok(content) => Ok(Some(content)),
            Err(error) => self.is_missing(error).map(|()| None),
        }
    }

    /// Whether an error of this folder says that an object is not there; else it is given back.
    pub(super) fn is_missing(&self, error: RemoteError) -> Result<(), RemoteError> {
        match error {
            RemoteError::NotFound { .. } => Ok(()),
            RemoteError::Denied { .. } if self.may_read.get().is_some() => Ok(()),
            RemoteError::Denied { .. } => self.probe(error),
            error => Err(error),
        }
    }

    fn probe(&self, denied: RemoteError) -> Result<(), RemoteError> {
        let requests = self.requests.clone();
        let read = self.client.wait(async move {
            // Another run may be looking at the same time.
            let name = format!("unfinished-probe-{}.txt", std::process::id());
            requests.put(&name, Bytes::from_static(PROBE_TEXT)).await?;
            let read = requests.whole(&name).await;
            if let Err(error) = requests.delete(&name).await {
                tracing::warn!(%error, "an object that is not needed any more was left");
            }
            Ok(read)
        })?;
        match read {
            Ok(_) => {
                tracing::debug!(url = %self.requests.url(), "access to what is missing is denied here");
                self.may_read.get_or_init(|| ());
                Ok(())
            }
            // Nothing can be read, so nobody knows what is there.
            Err(RemoteError::Denied { .. }) => Err(denied),
            Err(error) => Err(error),
        }
    }
}
