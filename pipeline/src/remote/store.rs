//! From a URL to the store behind it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};

use super::error::RemoteError;
use super::http::{Counters, CountingConnector};
use super::options::RemoteOptions;
use super::url::RemoteUrl;

/// The first wait before a request is repeated.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest.
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Longest time of one request: a part of an upload over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Applies the settings, makes the store; the builders have the same methods, but no trait.
macro_rules! built {
    ($builder:expr, $client_key:expr, $url:expr, $options:expr, $connector:expr) => {{
        let mut builder = $builder.with_retry(retry($options)).with_http_connector($connector);
        for (key, value) in client_settings($options) {
            builder = builder.with_config($client_key(key), value);
        }
        for (key, value) in &$options.settings {
            let known = key.to_ascii_lowercase().parse().map_err(|_| {
                RemoteError::UnknownSetting { url: $url.to_string(), key: key.clone() }
            })?;
            builder = builder.with_config(known, value);
        }
        builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
    }};
}

/// The store behind a URL. Nothing is sent yet. The environment is read by the builders.
pub(super) fn store(
    url: &RemoteUrl,
    options: &RemoteOptions,
    counters: &Arc<Counters>,
) -> Result<Arc<dyn ObjectStore>, RemoteError> {
    let connector = CountingConnector(Arc::clone(counters));
    let built = match url.scheme() {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(url.to_string());
            built!(builder, object_store::aws::AmazonS3ConfigKey::Client, url, options, connector)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url.to_string());
            built!(builder, object_store::gcp::GoogleConfigKey::Client, url, options, connector)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url.to_string());
            built!(builder, object_store::azure::AzureConfigKey::Client, url, options, connector)
        }
        ObjectStoreScheme::Http => {
            let builder = HttpBuilder::new()
                .with_url(url.server())
                .with_config(ClientConfigKey::AllowHttp, "true");
            built!(builder, std::convert::identity, url, options, connector)
        }
        _ => Ok(Arc::new(LocalFileSystem::new()) as Arc<dyn ObjectStore>),
    };
    built.map_err(|source| RemoteError::Settings { url: url.to_string(), hint: url.hint(), source })
}

fn retry(options: &RemoteOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_BACKOFF,
            max_backoff: LONGEST_BACKOFF,
            base: 2.0,
        },
        // The time decides.
        max_retries: 10_000,
        retry_timeout: options.give_up_after,
    }
}

fn client_settings(options: &RemoteOptions) -> [(ClientConfigKey, String); 2] {
    let seconds = |time: Duration| format!("{} seconds", time.as_secs().max(1));
    [
        (ClientConfigKey::Timeout, seconds(REQUEST_TIMEOUT)),
        (ClientConfigKey::ReadTimeout, seconds(options.stall_after)),
    ]
}
