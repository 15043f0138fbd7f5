//! Writing the shards that are missing: workers read and check, one thread writes, one waits for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use crossbeam::channel::{Sender, bounded};

use super::check::{Checker, Refusal, Rejection, panic_message};
use super::error::ShardError;
use super::finish::CREATED_BY;
use super::folder::{ShardRecord, SplitFolder};
use super::listing::{Refused, SplitListing};
use super::options::ShardOptions;
use super::ordered::{Gate, Ordered};
use super::plan::Layout;
use super::report::ShardProgress;
use super::schema;
use super::writer::{Row, ShardFormat, ShardWriter, WrittenShard};
use crate::sample::ImageMeta;

/// What all shards of a split have in common.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub(super) listing: &'a SplitListing,
    pub(super) layout: &'a Layout,
    pub(super) folder: &'a SplitFolder,
    pub(super) options: &'a ShardOptions,
}

/// What a worker hands over: the file's number and its content or the reason against it.
type Checked = (u32, Result<(Vec<u8>, ImageMeta), Rejection>);

/// Writes the shards `missing`, in order, and adds their records. `num_finished` shards that this run is
/// answerable for are there already.
pub(super) fn write_shards(
    writing: &Writing<'_>,
    missing: Vec<usize>,
    num_finished: u32,
    progress: &dyn ShardProgress,
    records: &mut [Option<ShardRecord>],
) -> Result<(), ShardError> {
    let Writing { listing, layout, folder, options } = *writing;
    let items = Items::new(layout, missing);
    let bytes_of = |item: usize| writing.read_bytes(items.file(item));
    let total_bytes = (0..items.len()).map(bytes_of).sum();
    let num_shards = items.shards.len() as u32 + num_finished;
    progress.begin(&listing.split, items.len() as u64, total_bytes, num_shards, num_finished);

    let queue: Ordered<Checked> = Ordered::new(items.len(), options.in_flight_bytes);
    let gate = Gate::new(options.decode_bytes);
    let work = || {
        let mut checker = Checker::new(options, &gate);
        while let Some(item) = queue.claim(bytes_of) {
            let file = items.file(item);
            let checked = checker.file(listing, file);
            queue.deliver(item, bytes_of(item), (file, checked));
        }
    };
    let spawn_error = |source| {
        let path = folder.partial.clone();
        ShardError::Io { action: "start threads for", path, source }
    };
    let result = thread::scope(|scope| {
        for worker in 0..options.num_workers().min(items.len()) {
            let guarded = || {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    queue.fail(panic_message(panic.as_ref()));
                }
            };
            let started =
                thread::Builder::new().name(format!("check-{worker}")).spawn_scoped(scope, guarded);
            if let Err(source) = started {
                queue.stop();
                return Err(spawn_error(source));
            }
        }
        // One shard waits for the disk while the next is written; a third waits for both.
        let (written, to_commit) = bounded::<(usize, WrittenShard, Vec<Refused>)>(1);
        let committing = thread::Builder::new().name("commit".to_owned()).spawn_scoped(
            scope,
            move || -> Result<Vec<(usize, ShardRecord)>, ShardError> {
                let mut done = Vec::new();
                for (index, written, refused) in to_commit {
                    let (shard, figures) = written.commit()?;
                    let record = ShardRecord { shard, figures, refused };
                    folder.write_record(index, &record)?;
                    if let Some(shard) = &record.shard {
                        let rows = shard.row_groups.iter().map(|group| u64::from(group.rows)).sum();
                        progress.shard(&shard.file, rows, shard.bytes);
                    }
                    done.push((index, record));
                }
                Ok(done)
            },
        );
        let committing = match committing {
            Ok(committing) => committing,
            Err(source) => {
                queue.stop();
                return Err(spawn_error(source));
            }
        };
        let result = writing.write_all(&items.shards, records.len(), progress, &queue, written);
        // Workers may be waiting for room that nobody will make any more.
        queue.stop();
        for (index, record) in joined(committing)? {
            records[index] = Some(record);
        }
        result
    });
    progress.end();
    result
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, ShardError>>) -> Result<T, ShardError> {
    thread
        .join()
        .unwrap_or_else(|panic| Err(ShardError::Panic { message: panic_message(panic.as_ref()) }))
}

/// The files of the missing shards, numbered through.
struct Items<'a> {
    layout: &'a Layout,
    shards: Vec<usize>,
    /// The end of each shard in the run of all files to be read.
    ends: Vec<usize>,
}

impl<'a> Items<'a> {
    fn new(layout: &'a Layout, shards: Vec<usize>) -> Self {
        let mut end = 0;
        let ends = shards
            .iter()
            .map(|&shard| {
                end += layout.files(shard).len();
                end
            })
            .collect();
        Self { layout, shards, ends }
    }

    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn file(&self, item: usize) -> u32 {
        let place = self.ends.partition_point(|&end| end <= item);
        let before = if place == 0 { 0 } else { self.ends[place - 1] };
        self.layout.files(self.shards[place])[item - before]
    }
}

impl Writing<'_> {
    /// Bytes that are read of a file: one over the limit is refused unread, and so takes neither memory nor
    /// time.
    fn read_bytes(&self, file: u32) -> u64 {
        let bytes = self.listing.bytes(file as usize);
        if bytes <= self.options.max_file_bytes { bytes } else { 0 }
    }

    /// Writes the shards one after the other; ends early, without an error of its own, when commits failed.
    fn write_all(
        &self,
        shards: &[usize],
        num_shards: usize,
        progress: &dyn ShardProgress,
        queue: &Ordered<Checked>,
        written: Sender<(usize, WrittenShard, Vec<Refused>)>,
    ) -> Result<(), ShardError> {
        let schema = Arc::new(schema::schema(&self.listing.classes));
        let format = ShardFormat {
            properties: schema::properties(CREATED_BY, &schema),
            schema,
            row_group_rows: self.options.row_group_rows as usize,
            row_group_bytes: self.options.row_group_bytes,
            split: self.listing.split.clone(),
            shuffle_seed: self.options.shuffle_seed,
            check: self.options.check.as_str(),
        };
        for &shard in shards {
            let name = self.folder.shard_name(&self.listing.split, shard, num_shards);
            let mut writer = ShardWriter::create(self.folder.partial.join(name), &format)?;
            let mut refused = Vec::new();
            for _ in self.layout.files(shard) {
                let (file, checked) = queue
                    .take()
                    .map_err(|message| ShardError::Panic { message })?
                    .ok_or_else(|| ShardError::Panic { message: "the queue ended early".into() })?;
                let path = self.listing.stored_path(file as usize);
                match checked {
                    Ok((bytes, meta)) => {
                        let label = self.listing.label(file as usize);
                        writer.push(Row { id: file, path, label, bytes, meta })?;
                        progress.advance(u64::from(meta.bytes), None);
                    }
                    // What was finished is kept, so that the same command goes on from there.
                    Err(Rejection::Failed(error)) => return Err(*error),
                    Err(Rejection::Refused(Refusal { kind, reason })) => {
                        let entry = Refused { path, kind: kind.to_owned(), reason };
                        progress.advance(self.read_bytes(file), Some(&entry));
                        refused.push(entry);
                    }
                }
            }
            if written.send((shard, writer.finish()?, refused)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
