//! The thread that reads row groups ahead of need.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::Array;
use crossbeam::channel::Sender;

use super::budget::{ByteBudget, Permit};
use super::schedule::EpochSchedule;
use crate::order::{Order, Positions};
use crate::runtime::metrics::StageCounters;
use crate::runtime::{Cancel, FailureCause, StageExit};
use crate::sample::{ImageMeta, RowGroupId};
use crate::source::{RowGroup, RowGroupInfo, Source};

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

/// What the reader sends: the schedule of an epoch, then its row groups by first use.
#[derive(Debug)]
pub(crate) enum Fetched {
    Epoch(EpochSchedule),
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
}

impl Reader {
    /// Reads until the stream is cancelled or, where it is finite, everything was read.
    pub(crate) fn run(self, cancel: &Cancel) -> Result<(), StageExit> {
        let groups = self.source.row_groups();
        let mut was_read = vec![false; if self.keeps_all { groups.len() } else { 0 }];
        let mut step = self.first_step;
        while self.positions.end().is_none_or(|end| step < end) {
            let (epoch, step_in_epoch) = self.positions.split(step);
            let order = self.order.epoch(epoch);
            let schedule = EpochSchedule::new(order, groups, &self.positions, step_in_epoch);
            tracing::debug!(
                epoch,
                row_groups = schedule.stays.len(),
                peak_groups = schedule.peak_groups,
                peak_bytes = schedule.peak_bytes,
                "fetch schedule"
            );
            let reads: Vec<RowGroupId> = schedule
                .stays
                .iter()
                .map(|stay| stay.group)
                .filter(|group| {
                    !was_read
                        .get_mut(group.0 as usize)
                        .is_some_and(|seen| std::mem::replace(seen, true))
                })
                .collect();
            step += self.positions.steps_per_epoch() - step_in_epoch;
            self.send(Fetched::Epoch(schedule), cancel)?;
            for id in reads {
                let group = self.read(id, &groups[id.0 as usize], cancel)?;
                self.send(Fetched::Group(Arc::new(group)), cancel)?;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        id: RowGroupId,
        info: &RowGroupInfo,
        cancel: &Cancel,
    ) -> Result<HeldGroup, StageExit> {
        let permit = self.counters.wait_output(|| self.budget.acquire(held_bytes(info), cancel))?;
        let started = Instant::now();
        let group = self.source.read(id).map_err(FailureCause::from)?;
        let rows = [group.images.len(), group.metas.len(), group.labels.len(), group.paths.len()];
        if group.first_sample != info.first_sample || rows != [info.rows as usize; 4] {
            return Err(FailureCause::WrongRowGroup {
                row_group: id.0,
                expected: info.rows,
                found: rows[0] as u64,
            }
            .into());
        }
        self.counters.task(started.elapsed(), u64::from(info.rows), info.bytes);
        Ok(HeldGroup { group, _permit: permit })
    }

    fn send(&self, item: Fetched, cancel: &Cancel) -> Result<(), StageExit> {
        self.counters.wait_output(|| cancel.send(&self.output, item))
    }
}
