//! The splits behind a URL, found without listing, which many servers do not allow.

use std::time::Duration;

use super::error::OpenError;
use super::files::canonical;
use super::parquet::ParquetSource;
use crate::manifest::{MANIFEST_FILE, Manifest};
use crate::remote::{Client, RemoteError, RemoteOptions, RemoteUrl};

/// Names of folders that are looked for. A split of another name is named by its own URL.
const SPLITS: [&str; 5] = ["train", "val", "validation", "valid", "test"];
/// Looking whether there is anything takes no longer, so that a mistyped host is noticed soon.
const LOOK_FOR: Duration = Duration::from_secs(15);

/// The splits behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSplits {
    given: RemoteUrl,
    /// Name and folder of each.
    splits: Vec<(String, RemoteUrl)>,
    options: RemoteOptions,
}

impl RemoteSplits {
    /// Looks for manifests: in the folder itself, then in folders named after splits.
    pub(super) fn find(url: &str, options: &RemoteOptions) -> Result<Self, OpenError> {
        let given = RemoteUrl::parse(url)?;
        let give_up_after = options.give_up_after.min(LOOK_FOR);
        let client =
            Client::new(given.clone(), &RemoteOptions { give_up_after, ..options.clone() })?;
        let requests = client.requests().clone();
        let found = client.wait(async move {
            match requests.whole(MANIFEST_FILE).await {
                Ok(text) => Ok(Looked::Split(text)),
                // Where listing is not allowed, S3 says of a missing object that access is denied.
                Err(error @ RemoteError::Denied { .. }) => {
                    let splits = folders(&requests).await?;
                    if splits.is_empty() { Err(error) } else { Ok(Looked::Folder(splits)) }
                }
                Err(error) if error.is_not_found() => folders(&requests).await.map(Looked::Folder),
                Err(error) => Err(error),
            }
        })?;
        let splits = match found {
            Looked::Split(text) => {
                let manifest = Manifest::parse(&given.join(MANIFEST_FILE).to_path(), &text)?;
                vec![(manifest.split, given.clone())]
            }
            Looked::Folder(names) => {
                names.into_iter().map(|name| (name.to_owned(), given.join(name))).collect()
            }
        };
        if splits.is_empty() {
            return Err(OpenError::NoRemoteData { url: given.to_string() });
        }
        Ok(Self { given, splits, options: options.clone() })
    }

    /// Names of the splits.
    pub fn names(&self) -> Vec<String> {
        self.splits.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The folder of a split.
    ///
    /// # Errors
    /// If there is none of that name; the error lists those that are there.
    pub fn of(&self, split: &str) -> Result<&RemoteUrl, OpenError> {
        let same = |name: &str| {
            name == split || canonical(split).is_some_and(|wanted| canonical(name) == Some(wanted))
        };
        let found = self.splits.iter().find(|(name, _)| same(name)).map(|(_, url)| url);
        found.ok_or_else(|| OpenError::NoSplit {
            path: self.given.to_path(),
            split: split.to_owned(),
            found: self.names(),
        })
    }

    /// Opens a split.
    ///
    /// # Errors
    /// If it is not there or its manifest cannot be used.
    pub fn open(&self, split: &str) -> Result<ParquetSource, OpenError> {
        ParquetSource::open_remote(self.of(split)?, &self.options)
    }
}

/// What is behind the URL.
enum Looked {
    /// A split; this is its manifest.
    Split(bytes::Bytes),
    /// Splits in folders of these names.
    Folder(Vec<&'static str>),
}

/// Names of splits that have a manifest.
async fn folders(requests: &crate::remote::Requests) -> Result<Vec<&'static str>, RemoteError> {
    let mut found = Vec::new();
    let mut denied = None;
    for name in SPLITS {
        match requests.within(name).length(MANIFEST_FILE).await {
            Ok(_) => found.push(name),
            Err(error) if error.is_not_found() => {}
            Err(error @ RemoteError::Denied { .. }) => denied = Some(error),
            Err(error) => return Err(error),
        }
    }
    match denied {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}
