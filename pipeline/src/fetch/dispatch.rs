//! The thread that admits batches to slots and hands out their rows.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender};

use super::budget::ByteBudget;
use super::reader::{Fetched, HeldGroup};
use super::schedule::{EpochSchedule, group_of};
use crate::batch::FillSide;
use crate::order::Positions;
use crate::render::RowJob;
use crate::runtime::metrics::StageCounters;
use crate::runtime::{Cancel, StageExit};
use crate::sample::{RowGroupId, SampleKey};
use crate::source::Source;

/// The dispatcher stage: for each step in order, waits for its slot, resolves the rows, and sends one job
/// per row to the renderer. Slots are admitted in step order and each row group arrives in the order of
/// first use, so it never waits for something that is stuck behind what it holds back itself.
pub(crate) struct Dispatcher {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) positions: Positions,
    pub(crate) first_step: u64,
    pub(crate) keeps_all: bool,
    pub(crate) budget: Arc<ByteBudget>,
    pub(crate) slots: FillSide,
    pub(crate) input: Receiver<Fetched>,
    pub(crate) jobs: Sender<RowJob>,
    pub(crate) counters: Arc<StageCounters>,
}

/// Row groups in memory and how often each will still be needed in this epoch.
struct Residents {
    groups: Vec<Option<Arc<HeldGroup>>>,
    uses_left: Vec<u32>,
}

impl Dispatcher {
    /// Hands out rows until the stream is cancelled. At the end of a finite stream it stays, so that a
    /// closed job channel never means that there is no more to do.
    pub(crate) fn run(mut self, cancel: &Cancel) -> Result<(), StageExit> {
        let num_groups = self.source.row_groups().len();
        let mut residents =
            Residents { groups: vec![None; num_groups], uses_left: vec![0; num_groups] };
        let mut step = self.first_step;
        while self.positions.end().is_none_or(|end| step < end) {
            let schedule = self.next_epoch(cancel, &mut residents)?;
            for step_in_epoch in schedule.first_step..self.positions.steps_per_epoch() {
                self.dispatch(step, step_in_epoch, &schedule, &mut residents, cancel)?;
                step += 1;
            }
        }
        cancel.wait();
        Err(StageExit::Cancelled)
    }

    fn next_epoch(
        &self,
        cancel: &Cancel,
        residents: &mut Residents,
    ) -> Result<EpochSchedule, StageExit> {
        match self.receive(cancel)? {
            Fetched::Epoch(schedule) => {
                for stay in &schedule.stays {
                    residents.uses_left[stay.group.0 as usize] = stay.uses;
                }
                Ok(schedule)
            }
            // The last row group of an epoch was asked for before the epoch could end.
            Fetched::Group(group) => Err(StageExit::bug(format!(
                "row group {} arrived after the end of its epoch",
                group.id.0
            ))),
        }
    }

    fn dispatch(
        &mut self,
        step: u64,
        step_in_epoch: u64,
        schedule: &EpochSchedule,
        residents: &mut Residents,
        cancel: &Cancel,
    ) -> Result<(), StageExit> {
        let started = Instant::now();
        let waited = self.counters.waited();
        let mut filling = self.counters.wait_output(|| self.slots.begin(step, cancel))?;
        let mut row = 0;
        while let Some(lease) = filling.next_row() {
            let position = self.positions.row(step_in_epoch, row);
            let sample = schedule.order.sample_at(position.in_epoch);
            let epoch = schedule.order.epoch;
            let key = SampleKey {
                epoch,
                ordinal: self.positions.ordinal(epoch, position),
                sample,
                attempt: 0,
            };
            let index = group_of(self.source.row_groups(), sample.0);
            let group = self.take_row(RowGroupId(index as u32), residents, cancel)?;
            let row_in_group = sample.0 - group.first_sample.0;
            let job = RowJob { lease, key, group, row_in_group, valid: position.valid };
            self.counters.wait_output(|| cancel.send(&self.jobs, job))?;
            row += 1;
        }
        let waited = self.counters.waited().saturating_sub(waited);
        self.counters.task(started.elapsed().saturating_sub(waited), u64::from(row), 0);
        Ok(())
    }

    /// The row group for one of its rows; waits until it was read, and lets go of it with its last row.
    fn take_row(
        &self,
        id: RowGroupId,
        residents: &mut Residents,
        cancel: &Cancel,
    ) -> Result<Arc<HeldGroup>, StageExit> {
        let index = id.0 as usize;
        while residents.groups[index].is_none() {
            match self.receive(cancel)? {
                Fetched::Group(group) => {
                    let arrived = group.id.0 as usize;
                    residents.groups[arrived] = Some(group);
                }
                Fetched::Epoch(next) => {
                    return Err(StageExit::bug(format!(
                        "epoch {} began before row group {} was read",
                        next.order.epoch, id.0
                    )));
                }
            }
        }
        residents.uses_left[index] -= 1;
        let entry = &mut residents.groups[index];
        let group = if residents.uses_left[index] == 0 && !self.keeps_all {
            entry.take()
        } else {
            entry.clone()
        };
        group.ok_or_else(|| StageExit::bug(format!("row group {} is not in memory", id.0)))
    }

    fn receive(&self, cancel: &Cancel) -> Result<Fetched, StageExit> {
        if let Ok(item) = self.input.try_recv() {
            return Ok(item);
        }
        let started = Instant::now();
        self.budget.starve();
        let item = cancel.recv(&self.input);
        self.budget.fed();
        self.counters.waited_for_input(started.elapsed());
        item
    }
}
