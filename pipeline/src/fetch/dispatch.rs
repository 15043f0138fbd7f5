//! The thread that admits batches to slots and hands out their rows.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender};

use super::budget::ByteBudget;
use super::reader::{Fetched, HeldGroup};
use super::schedule::EpochSchedule;
use crate::batch::FillSide;
use crate::order::{Order, OrderedRow, Positions};
use crate::render::RowJob;
use crate::runtime::metrics::{Metrics, StageCounters};
use crate::runtime::{Cancel, FETCH, StageExit};
use crate::sample::{RowGroupId, SampleKey};
use crate::source::Source;

/// The dispatcher stage: for each step in order, waits for its slot, resolves the rows, and sends one job
/// per row to the renderer. Slots are admitted in step order and each row group arrives in the order of
/// first use, so it never waits for something that is stuck behind what it holds back itself.
pub(crate) struct Dispatcher {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) order: Arc<dyn Order>,
    pub(crate) positions: Positions,
    pub(crate) first_step: u64,
    pub(crate) keeps_all: bool,
    pub(crate) budget: Arc<ByteBudget>,
    pub(crate) slots: FillSide,
    pub(crate) input: Receiver<Fetched>,
    pub(crate) jobs: Sender<RowJob>,
    pub(crate) counters: Arc<StageCounters>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Row groups in memory, by number.
type Residents = Vec<Option<Arc<HeldGroup>>>;

impl Dispatcher {
    /// Hands out rows until the stream is cancelled. At the end of a finite stream it stays, so that a
    /// closed job channel never means that there is no more to do.
    pub(crate) fn run(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        let mut residents: Residents = vec![None; self.source.row_groups().len()];
        let mut step = self.first_step;
        while self.positions.end().is_none_or(|end| step < end) {
            let (epoch, first_step) = self.positions.split(step);
            self.await_epoch(epoch, cancel)?;
            let mut schedule = EpochSchedule::new(&*self.order, &self.positions, epoch, first_step);
            for step_in_epoch in first_step..self.positions.steps_per_epoch() {
                self.dispatch(step, step_in_epoch, epoch, &mut schedule, &mut residents, cancel)?;
                step += 1;
            }
            if !self.keeps_all {
                // Some are only needed by the rest of the epoch, which is left out.
                residents.fill(None);
            }
        }
        cancel.wait();
        Err(StageExit::Cancelled)
    }

    fn await_epoch(&self, epoch: u32, cancel: &Cancel) -> Result<(), StageExit> {
        match self.receive(cancel)? {
            Fetched::Epoch(begun) if begun == epoch => Ok(()),
            Fetched::Epoch(begun) => {
                Err(StageExit::bug(format!("epoch {begun} began in place of epoch {epoch}")))
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
        epoch: u32,
        schedule: &mut EpochSchedule,
        residents: &mut Residents,
        cancel: &Cancel,
    ) -> Result<(), StageExit> {
        let _span = tracing::debug_span!(FETCH, step, epoch).entered();
        let started = Instant::now();
        let waited = self.counters.waited();
        let mut filling = self.counters.wait_output(|| self.slots.begin(step, cancel))?;
        let mut row = 0;
        while let Some(lease) = filling.next_row() {
            let position = self.positions.row(step_in_epoch, row);
            let found = schedule.row_at(position.in_epoch, |ended| {
                if !self.keeps_all {
                    residents[ended.0 as usize] = None;
                }
            });
            let Some(OrderedRow { sample, group, .. }) = found else {
                return Err(StageExit::bug(format!(
                    "the order of epoch {epoch} has no position {}",
                    position.in_epoch
                )));
            };
            let key = SampleKey {
                epoch,
                ordinal: self.positions.ordinal(epoch, position),
                sample,
                attempt: 0,
            };
            let group = self.resident(group, residents, cancel)?;
            let row_in_group = sample.0 - group.first_sample.0;
            let job = RowJob { lease, key, group, row_in_group, valid: position.valid };
            self.counters.wait_output(|| cancel.send(&self.jobs, job))?;
            self.metrics.rows.put();
            row += 1;
        }
        let waited = self.counters.waited().saturating_sub(waited);
        self.counters.task(started.elapsed().saturating_sub(waited), u64::from(row), 0);
        Ok(())
    }

    /// A row group; waits until it was read.
    fn resident(
        &self,
        id: RowGroupId,
        residents: &mut Residents,
        cancel: &Cancel,
    ) -> Result<Arc<HeldGroup>, StageExit> {
        loop {
            if let Some(group) = &residents[id.0 as usize] {
                return Ok(Arc::clone(group));
            }
            match self.receive(cancel)? {
                Fetched::Group(group) => {
                    let arrived = group.id.0 as usize;
                    residents[arrived] = Some(group);
                }
                Fetched::Epoch(next) => {
                    return Err(StageExit::bug(format!(
                        "epoch {next} began before row group {} was read",
                        id.0
                    )));
                }
            }
        }
    }

    fn receive(&self, cancel: &Cancel) -> Result<Fetched, StageExit> {
        let item = match self.input.try_recv() {
            Ok(item) => item,
            Err(_) => self.counters.wait_input(|| {
                self.budget.starve();
                let item = cancel.recv(&self.input);
                self.budget.fed();
                item
            })?,
        };
        self.metrics.row_groups.took();
        Ok(item)
    }
}
