//! Shards that go to an object store, one at a time, over a folder of this machine that holds no more than the
//! few that are being written.
//!
//! A store has no rename, so nothing can be built aside. What makes a data set is its manifest, and that is
//! written last, in one piece; until then its shards are objects that nobody names. Names of shards hold the
//! digest of the plan: a run with other images or options never writes over an object that a manifest names, and
//! replacing a data set is one write, that of the new manifest. What is finished is noted in the store itself, so
//! that a run that was killed goes on from any machine.

mod lookup;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use self::lookup::Lookup;
use super::error::ShardError;
use super::folder::ShardRecord;
use super::plan::Plan;
use super::stage;
use crate::manifest::{MANIFEST_FILE, Manifest};
use crate::remote::{Client, RemoteError, RemoteOptions, RemoteUrl, Requests};

/// Records that are looked for at the same time.
const CONCURRENT: usize = 16;

/// The output of a run in an object store.
pub(super) struct RemoteOut {
    client: Arc<Client>,
    url: RemoteUrl,
    /// Where shards are written before they are uploaded.
    stage: PathBuf,
}

/// One split of it.
pub(super) struct RemoteSplit {
    client: Arc<Client>,
    requests: Requests,
    lookup: Lookup,
    /// Digest of the plan, as it stands in names.
    plan: OnceLock<String>,
}

impl RemoteOut {
    /// Takes the URL apart; nothing is sent or created yet. The stage lies inside `base`.
    pub(super) fn new(
        url: &str,
        base: Option<&Path>,
        options: &RemoteOptions,
    ) -> Result<Self, ShardError> {
        let url = RemoteUrl::parse(url)?;
        if !url.is_writable() {
            let problem = "cannot be written to; use s3://, gs:// or az://".to_owned();
            return Err(RemoteError::Url { url: url.to_string(), problem }.into());
        }
        let stage = stage::path(base, &url.to_string());
        Ok(Self { client: Arc::new(Client::new(url.clone(), options)?), url, stage })
    }

    pub(super) fn url(&self) -> &RemoteUrl {
        &self.url
    }

    pub(super) fn stage(&self) -> &Path {
        &self.stage
    }

    pub(super) fn split(&self, name: &str) -> RemoteSplit {
        let requests = self.client.requests().within(name);
        RemoteSplit {
            client: Arc::clone(&self.client),
            lookup: Lookup::new(Arc::clone(&self.client), requests.clone()),
            requests,
            plan: OnceLock::new(),
        }
    }

    /// Writes the README that lies in the folder of this machine, unless somebody put one of their own there.
    pub(super) fn put_card(&self, name: &'static str, mark: &str) -> Result<(), ShardError> {
        let path = self.stage.join(name);
        let text = fs::read(&path).map_err(ShardError::io("read", &path))?;
        let requests = self.client.requests().clone();
        let lookup = Lookup::new(Arc::clone(&self.client), requests.clone());
        if lookup.get(name)?.is_some_and(|found| !String::from_utf8_lossy(&found).contains(mark)) {
            return Ok(());
        }
        Ok(self.client.wait(async move { requests.put(name, text.into()).await })?)
    }
}

impl RemoteSplit {
    pub(super) fn url(&self) -> &RemoteUrl {
        self.requests.url()
    }

    /// Says which plan the names are of.
    pub(super) fn begin(&self, plan: &Plan) {
        // A struct of strings and numbers always serialises.
        let text = serde_json::to_vec(plan).unwrap_or_default();
        self.plan.get_or_init(|| blake3::hash(&text).to_hex()[..16].to_owned());
    }

    fn plan(&self) -> &str {
        self.plan.get().map_or("", String::as_str)
    }

    /// Name of a shard's object.
    pub(super) fn shard_name(&self, name: &str) -> String {
        let stem = name.strip_suffix(".parquet").unwrap_or(name);
        format!("{stem}-{}.parquet", self.plan())
    }

    /// Whether the manifest that is there names the shards of the plan. `None` where there is no manifest. The
    /// manifest and the file `refused` are copied into `dir`.
    pub(super) fn finished(
        &self,
        dir: &Path,
        refused: &'static str,
    ) -> Result<Option<bool>, ShardError> {
        let Some(text) = self.get(MANIFEST_FILE)? else { return Ok(None) };
        let manifest = Manifest::parse(&self.url().join(MANIFEST_FILE).to_path(), &text)?;
        let ending = format!("-{}.parquet", self.plan());
        if !manifest.shards.iter().all(|shard| shard.file.ends_with(&ending)) {
            return Ok(Some(false));
        }
        let write = |name: &str, content: &[u8]| {
            fs::write(dir.join(name), content).map_err(ShardError::io("write", dir.join(name)))
        };
        fs::create_dir_all(dir).map_err(ShardError::io("create folder", dir))?;
        write(MANIFEST_FILE, &text)?;
        write(refused, &self.get(refused)?.unwrap_or_default())?;
        Ok(Some(true))
    }

    /// The records of the shards that are there in full.
    pub(super) fn records(
        &self,
        num_shards: usize,
    ) -> Result<Vec<Option<ShardRecord>>, ShardError> {
        let numbers: Vec<usize> = (0..num_shards).collect();
        let mut records = Vec::with_capacity(num_shards);
        for some in numbers.chunks(CONCURRENT) {
            let tasks: Vec<_> = some
                .iter()
                .map(|&shard| {
                    let (requests, name) = (self.requests.clone(), self.record_name(shard));
                    self.client.spawn(async move { record(&requests, &name).await })
                })
                .collect();
            for task in tasks {
                let url = self.url().to_string();
                let found = self
                    .client
                    .wait(async move { task.await.unwrap_or(Err(RemoteError::Stopped { url })) });
                records.push(match found {
                    Ok(record) => record,
                    Err(error) => self.lookup.is_missing(error).map(|()| None)?,
                });
            }
        }
        Ok(records)
    }

    /// Uploads a shard, notes that it is finished, and removes the file.
    pub(super) fn push(
        &self,
        shard: usize,
        record: &ShardRecord,
        dir: &Path,
    ) -> Result<(), ShardError> {
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| ShardError::io("write", self.record_name(shard))(error.into()))?;
        if let Some(written) = &record.shard {
            let path = dir.join(&written.file);
            let (requests, name, file) =
                (self.requests.clone(), written.file.clone(), path.clone());
            self.client.wait(async move { requests.upload(&name, &file).await })?;
            fs::remove_file(&path).map_err(ShardError::io("remove", path))?;
        }
        self.put(&self.record_name(shard), text)
    }

    /// Lets the data set appear: the list of refused files, and last the manifest, both from `dir`. What it
    /// replaces, and the notes of `num_shards` finished shards, are removed after that.
    pub(super) fn publish(
        &self,
        dir: &Path,
        refused: &'static str,
        num_shards: usize,
    ) -> Result<(), ShardError> {
        let replaced = self.get(MANIFEST_FILE)?.and_then(|text| {
            // One that cannot be read names nothing that could be removed.
            Manifest::parse(&self.url().join(MANIFEST_FILE).to_path(), &text).ok()
        });
        let read =
            |name: &str| fs::read(dir.join(name)).map_err(ShardError::io("read", dir.join(name)));
        let manifest = Manifest::read(dir)?;
        self.put(refused, read(refused)?)?;
        self.put(MANIFEST_FILE, read(MANIFEST_FILE)?)?;
        let kept = |file: &String| manifest.shards.iter().any(|shard| shard.file == *file);
        let old = replaced.into_iter().flat_map(|old| old.shards).map(|shard| shard.file);
        let records = (0..num_shards).map(|shard| self.record_name(shard));
        let unneeded: Vec<String> = old.filter(|file| !kept(file)).chain(records).collect();
        for some in unneeded.chunks(CONCURRENT) {
            let tasks: Vec<_> = some
                .iter()
                .map(|name| {
                    let (requests, name) = (self.requests.clone(), name.clone());
                    self.client.spawn(async move { requests.delete(&name).await })
                })
                .collect();
            for task in tasks {
                let url = self.url().to_string();
                let removed = self
                    .client
                    .wait(async move { task.await.unwrap_or(Err(RemoteError::Stopped { url })) });
                // The data set is complete; what is left over is no reason to say otherwise.
                if let Err(error) = removed {
                    tracing::warn!(%error, "an object that is not needed any more was left");
                }
            }
        }
        Ok(())
    }

    fn record_name(&self, shard: usize) -> String {
        format!("unfinished-{}-{shard:05}.json", self.plan())
    }

    fn get(&self, name: &'static str) -> Result<Option<Bytes>, ShardError> {
        Ok(self.lookup.get(name)?)
    }

    fn put(&self, name: &str, content: Vec<u8>) -> Result<(), ShardError> {
        let (requests, name) = (self.requests.clone(), name.to_owned());
        Ok(self.client.wait(async move { requests.put(&name, content.into()).await })?)
    }
}

/// The record of a shard whose object is there in full; an error where record or object are not there.
async fn record(requests: &Requests, name: &str) -> Result<Option<ShardRecord>, RemoteError> {
    let text = requests.whole(name).await?;
    let Ok(record) = serde_json::from_slice::<ShardRecord>(&text) else { return Ok(None) };
    let Some(shard) = &record.shard else { return Ok(Some(record)) };
    let length = requests.length(&shard.file).await?;
    Ok((length == shard.bytes).then_some(record))
}
