//! URLs of remote data.

use std::fmt;
use std::path::PathBuf;

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

use super::error::RemoteError;

/// The URL of a remote folder. Holds no credentials: those would end up in logs and stored settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    /// Without a slash at its end.
    url: Url,
    scheme: ObjectStoreScheme,
    /// The folder within the store.
    prefix: Path,
}

impl RemoteUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// If it is none, of an unknown scheme, or carries a user, password, query or fragment.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        // What is refused may hold a password, so the message shows nothing behind the scheme.
        let shown = || text.split_once("://").map_or("this", |(scheme, _)| scheme).to_owned();
        let wrong =
            |problem: String| RemoteError::Url { url: format!("{}://...", shown()), problem };
        let mut url = Url::parse(text).map_err(|error| wrong(format!("is no URL: {error}")))?;
        let (scheme, _) = ObjectStoreScheme::parse(&url)
            .ok()
            .filter(|(scheme, _)| *scheme != ObjectStoreScheme::Memory)
            .ok_or_else(|| {
                wrong(
                    "is not understood; expected s3://, gs://, az://, https:// or file://"
                        .to_owned(),
                )
            })?;
        let user =
            !matches!(scheme, ObjectStoreScheme::MicrosoftAzure) && !url.username().is_empty();
        if user || url.password().is_some() {
            return Err(wrong(format!("holds a user or password; {}", hint(&scheme))));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or fragment, which cannot be used here".to_owned()));
        }
        let trimmed = url.path().trim_end_matches('/').to_owned();
        url.set_path(&trimmed);
        let (_, prefix) = ObjectStoreScheme::parse(&url)
            .map_err(|error| wrong(format!("has a path that cannot be used: {error}")))?;
        Ok(Self { url, scheme, prefix })
    }

    /// A folder or object in it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push(name);
        }
        Self { url, scheme: self.scheme.clone(), prefix: self.prefix.clone().join(name) }
    }

    /// Its last part.
    pub fn name(&self) -> &str {
        self.prefix.filename().unwrap_or_default()
    }

    /// Whether objects can be written there.
    pub fn is_writable(&self) -> bool {
        self.scheme != ObjectStoreScheme::Http
    }

    /// As a path, for messages that name files.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }

    pub(super) fn scheme(&self) -> &ObjectStoreScheme {
        &self.scheme
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Scheme, host and port.
    pub(super) fn server(&self) -> &str {
        &self.url[..url::Position::BeforePath]
    }

    /// What to look at where access is denied.
    pub(super) fn hint(&self) -> &'static str {
        hint(&self.scheme)
    }
}

fn hint(scheme: &ObjectStoreScheme) -> &'static str {
    match scheme {
        ObjectStoreScheme::AmazonS3 => {
            "credentials are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or the \
             machine's role, not from ~/.aws; also looked at: AWS_REGION, AWS_ENDPOINT_URL (with \
             AWS_ALLOW_HTTP=true for http), AWS_SKIP_SIGNATURE=true for public buckets; reading needs the right \
             s3:GetObject, writing s3:PutObject as well"
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            "credentials are taken from GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT or the machine's \
             role; GOOGLE_SKIP_SIGNATURE=true reads public buckets"
        }
        ObjectStoreScheme::MicrosoftAzure => {
            "credentials are taken from AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or \
             AZURE_STORAGE_SAS_TOKEN, or from AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID"
        }
        ObjectStoreScheme::Http => {
            "no credentials are sent to http(s):// servers; the data must be public"
        }
        _ => "see who may read the files",
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_joined() {
        for (given, joined, prefix) in [
            ("s3://bucket/a/b", "s3://bucket/a/b/train", "a/b/train"),
            ("s3://bucket/a/b/", "s3://bucket/a/b/train", "a/b/train"),
            ("s3://bucket", "s3://bucket/train", "train"),
            ("gs://bucket/x", "gs://bucket/x/train", "x/train"),
            ("az://container/x", "az://container/x/train", "x/train"),
            ("https://example.org/data", "https://example.org/data/train", "data/train"),
            ("file:///data/x", "file:///data/x/train", "data/x/train"),
        ] {
            let url = RemoteUrl::parse(given).unwrap().join("train");
            assert_eq!((url.to_string().as_str(), url.prefix().as_ref()), (joined, prefix));
            assert_eq!(url.name(), "train");
        }
    }

    #[test]
    fn what_could_hold_a_secret_is_refused_without_being_shown() {
        for given in [
            "https://user:hunter2@example.org/data",
            "https://hunter2@example.org/data",
            "https://example.org/data?token=hunter2",
            "https://example.org/data#hunter2",
            "ftp://hunter2/data",
            "s3:hunter2",
        ] {
            let message = RemoteUrl::parse(given).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
