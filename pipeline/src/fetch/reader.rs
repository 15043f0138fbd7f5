//! The thread that reads row groups ahead of need.

use std::collections::VecDeque;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::Array;
use crossbeam::channel::Sender;

use super::budget::{ByteBudget, Permit};
use super::schedule::EpochSchedule;
use crate::order::{Order, Positions};
use crate::runtime::metrics::{Metrics, StageCounters};
use crate::runtime::{COUNTERS, Cancel, FailureCause, READ, StageExit};
use crate::sample::{ImageMeta, RowGroupId};
use crate::source::{Fetch, RowGroup, RowGroupInfo, Source};

/// Row groups that may lie between reader and dispatcher. More of them are bounded by bytes.
pub(crate) const READ_AHEAD: usize = 2;

/// What a row costs beside its encoded bytes: view, meta, label, and a path of usual length.
const ROW_BYTES: u64 =
    (16 + size_of::<ImageMeta>() + size_of::<i64>() + size_of::<String>() + 48) as u64;

/// Bytes that a row group takes in memory.
pub(crate) fn held_bytes(group: &RowGroupInfo) -> u64 {
    group.bytes + u64::from(group.rows) * ROW_BYTES
}

/// A row group in memory, counted against the budget until the last reference is gone.
#[derive(Debug)]
pub struct HeldGroup {
    group: RowGroup,
    _permit: Permit,
}

impl Deref for HeldGroup {
    type Target = RowGroup;

    fn deref(&self) -> &RowGroup {
        &self.group
    }
}

/// A row group that is read or on its way.
struct Ahead {
    id: RowGroupId,
    permit: Permit,
    /// `None` where it is read when its turn comes.
    fetch: Option<Fetch>,
}

/// What the reader sends: the number of an epoch, then its row groups by first use. The number keeps the
/// reader from running through epochs for which it has nothing to read.
#[derive(Debug)]
pub(crate) enum Fetched {
    Epoch(u32),
    Group(Arc<HeldGroup>),
}

/// The reader stage.
pub(crate) struct Reader {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) order: Arc<dyn Order>,
    pub(crate) positions: Positions,
    pub(crate) first_step: u64,
    /// Row groups stay for ever, so each is read once.
    pub(crate) keeps_all: bool,
    pub(crate) budget: Arc<ByteBudget>,
    pub(crate) output: Sender<Fetched>,
    pub(crate) counters: Arc<StageCounters>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Reader {
    /// Reads until the stream is cancelled or, where it is finite, everything was read.
    pub(crate) fn run(&self, cancel: &Cancel) -> Result<(), StageExit> {
        let groups = self.source.row_groups();
        let mut was_read = vec![false; groups.len()];
        let mut unread = groups.len();
        let mut ahead = VecDeque::new();
        let mut step = self.first_step;
        while self.positions.end().is_none_or(|end| step < end) {
            let (epoch, first_step) = self.positions.split(step);
            self.send(Fetched::Epoch(epoch), cancel)?;
            if !self.keeps_all {
                was_read.fill(false);
                unread = groups.len();
            }
            if unread > 0 {
                let mut schedule =
                    EpochSchedule::new(&*self.order, &self.positions, epoch, first_step);
                for step in first_step..self.positions.steps_per_epoch() {
                    for row in 0..self.positions.batch_size {
                        let position = self.positions.row(step, row);
                        let Some(row) = schedule.row_at(position.in_epoch, |_| ()) else {
                            return Err(StageExit::bug(format!(
                                "the order of epoch {epoch} has no position {}",
                                position.in_epoch
                            )));
                        };
                        let index = row.group.0 as usize;
                        if !std::mem::replace(&mut was_read[index], true) {
                            unread -= 1;
                            self.begin(row.group, &mut ahead, cancel)?;
                        }
                    }
                }
            }
            // The next epoch is announced behind the last row group of this one.
            for next in ahead.drain(..) {
                self.deliver(next, cancel)?;
            }
            step += self.positions.steps_per_epoch() - first_step;
        }
        Ok(())
    }

    /// Begins to read a row group within the budget, with as many on their way as the source likes.
    fn begin(
        &self,
        id: RowGroupId,
        ahead: &mut VecDeque<Ahead>,
        cancel: &Cancel,
    ) -> Result<(), StageExit> {
        let most = self.source.reads_ahead().max(1) as usize;
        let bytes = held_bytes(&self.source.row_groups()[id.0 as usize]);
        let permit = loop {
            // What is on its way goes on before anything is waited for that only its use sets free.
            if ahead.is_empty() {
                break self.counters.wait_output(|| self.budget.acquire(bytes, cancel))?;
            }
            if ahead.len() < most
                && let Some(permit) = self.budget.acquire_ahead(bytes)
            {
                break permit;
            }
            if let Some(oldest) = ahead.pop_front() {
                self.deliver(oldest, cancel)?;
            }
        };
        ahead.push_back(Ahead { id, permit, fetch: self.source.fetch(id) });
        if most == 1
            && let Some(only) = ahead.pop_front()
        {
            self.deliver(only, cancel)?;
        }
        Ok(())
    }

    /// Waits for a row group and hands it over.
    fn deliver(&self, next: Ahead, cancel: &Cancel) -> Result<(), StageExit> {
        let Ahead { id, permit, fetch } = next;
        let info = &self.source.row_groups()[id.0 as usize];
        let span = tracing::debug_span!(READ, row_group = id.0, bytes = info.bytes).entered();
        let started = Instant::now();
        let group = match fetch {
            Some(fetch) => cancel.recv(fetch.arrived()).map_err(|exit| match exit {
                StageExit::Orphaned => StageExit::bug(format!(
                    "the fetch of row group {} ended without a result",
                    id.0
                )),
                exit => exit,
            })?,
            None => self.source.read(id),
        };
        let group = group.map_err(FailureCause::from)?;
        if let Some(problem) = difference(info, &group) {
            let file = self.source.file(id).map(Path::to_path_buf);
            return Err(FailureCause::WrongRowGroup { row_group: id.0, file, problem }.into());
        }
        self.counters.task(started.elapsed(), u64::from(info.rows), info.bytes);
        drop(span);
        tracing::trace!(target: COUNTERS, resident_bytes = self.budget.held());
        self.send(Fetched::Group(Arc::new(HeldGroup { group, _permit: permit })), cancel)
    }

    fn send(&self, item: Fetched, cancel: &Cancel) -> Result<(), StageExit> {
        self.counters.wait_output(|| cancel.send(&self.output, item))?;
        self.metrics.row_groups.put();
        Ok(())
    }
}

/// How a row group differs from what the table of row groups says of it, as a clause that begins with a verb.
fn difference(info: &RowGroupInfo, group: &RowGroup) -> Option<String> {
    if group.first_sample != info.first_sample {
        let (found, expected) = (group.first_sample.0, info.first_sample.0);
        return Some(format!("begins with sample {found}, expected was {expected}"));
    }
    let found = [
        (group.images.len(), "images"),
        (group.metas.len(), "sizes of images"),
        (group.labels.len(), "labels"),
        (group.paths.len(), "paths"),
    ];
    let (found, what) = found.into_iter().find(|(found, _)| *found != info.rows as usize)?;
    Some(format!("has {found} {what}, expected were {}", info.rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SampleId;
    use crate::source::SyntheticSource;

    #[test]
    fn a_row_group_that_is_not_as_its_source_said_is_named_with_what_differs() {
        let source = SyntheticSource::new(20, 10, 8, 0);
        let info = source.row_groups()[1];
        let read = || source.read(RowGroupId(1)).unwrap();
        assert_eq!(difference(&info, &read()), None);
        let mut group = read();
        group.labels.pop();
        assert_eq!(difference(&info, &group).unwrap(), "has 9 labels, expected were 10");
        let group = RowGroup { first_sample: SampleId(9), ..read() };
        assert_eq!(difference(&info, &group).unwrap(), "begins with sample 9, expected was 10");
        let cause = FailureCause::WrongRowGroup {
            row_group: 1,
            file: Some("a.tar".into()),
            problem: "has 9 labels, expected were 10".to_owned(),
        };
        assert_eq!(cause.to_string(), "row group 1 in a.tar has 9 labels, expected were 10");
    }
}
