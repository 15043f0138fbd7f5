//! What the stream will take of memory, computed before a thread starts.

use std::fmt;

use serde::Serialize;

use super::{StreamConfig, StreamMode};
use crate::batch::{BatchShape, SlotMemory};
use crate::fetch::held_bytes;
use crate::order::{Order, OrderSettings, order};
use crate::render::Renderer;
use crate::runtime::PipelineError;
use crate::source::{RowGroupInfo, Source};

/// Row groups that may be read ahead of need where the budget has room; more where the source likes more.
const READ_AHEAD_GROUPS: u64 = 4;
/// Reader and dispatcher each walk the order of an epoch.
const ORDER_WALKS: u64 = 2;

/// Resolved figures of a stream, to be printed at start-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryForecast {
    /// All slots.
    pub slots_bytes: u64,
    /// One slot: batch size times 3 times the sum of squared sides over the views; nothing where it lies on a device.
    pub slot_bytes: u64,
    /// Number of slots.
    pub num_slots: u32,
    /// Most bytes of row groups that the order can ever need at once.
    pub needed_groups_bytes: u64,
    /// Most row groups that it can ever need at once.
    pub needed_groups: u32,
    /// Bytes of row groups that may be in memory, read ahead included. At least `needed_groups_bytes`.
    pub resident_groups_bytes: u64,
    /// Whether the whole data set stays in memory, so that every row group is read once.
    pub keeps_all: bool,
    /// Buffers of the workers.
    pub scratch_bytes: u64,
    /// What the source keeps of where its rows lie.
    pub source_bytes: u64,
    /// Orders of the epochs that are read and shown.
    pub order_bytes: u64,
    /// The budget.
    pub budget_bytes: u64,
    /// Threads that decode and augment.
    pub workers: u32,
}

impl MemoryForecast {
    /// The figures for a stream, unless they are over its budget.
    ///
    /// # Errors
    /// If they are, with all of them and what to change.
    pub(super) fn new(
        source: &dyn Source,
        config: &StreamConfig,
        shape: &BatchShape,
        order: &dyn Order,
        memory: &dyn SlotMemory,
        renderer: &dyn Renderer,
    ) -> Result<Self, PipelineError> {
        let groups = source.row_groups();
        let needed_groups = order.max_resident_groups();
        let needed_groups_bytes = largest(groups, needed_groups);
        let slot_bytes = memory.host_bytes(shape);
        let mut forecast = Self {
            slot_bytes,
            num_slots: config.num_slots,
            slots_bytes: slot_bytes * u64::from(config.num_slots),
            needed_groups,
            needed_groups_bytes,
            resident_groups_bytes: needed_groups_bytes,
            keeps_all: false,
            scratch_bytes: renderer
                .scratch_bytes(source.max_pixels(), source.max_coefficient_bytes()),
            source_bytes: source.held_bytes(),
            order_bytes: ORDER_WALKS * order.rows_bytes(),
            budget_bytes: config.memory_budget_bytes,
            workers: renderer.workers(),
        };
        let Some(left) = forecast.budget_bytes.checked_sub(forecast.total_bytes()) else {
            let remedy = forecast.remedy(config, groups);
            return Err(PipelineError::Memory { forecast: Box::new(forecast), remedy });
        };
        let all: u64 = groups.iter().map(held_bytes).sum();
        forecast.keeps_all =
            config.mode == StreamMode::Endless && all <= needed_groups_bytes + left;
        let wanted = if forecast.keeps_all {
            all
        } else {
            let ahead = READ_AHEAD_GROUPS.max(source.reads_ahead().into());
            needed_groups_bytes + ahead * largest(groups, 1)
        };
        forecast.resident_groups_bytes = wanted.min(needed_groups_bytes + left);
        Ok(forecast)
    }

    /// Slots, row groups, scratch, places and order together.
    pub fn total_bytes(&self) -> u64 {
        self.slots_bytes
            + self.resident_groups_bytes
            + self.scratch_bytes
            + self.source_bytes
            + self.order_bytes
    }

    /// What to change so that the stream fits.
    fn remedy(&self, config: &StreamConfig, groups: &[RowGroupInfo]) -> String {
        let mut ways = vec![format!("raise memory_budget_bytes to {}", self.total_bytes())];
        let fixed = self.total_bytes() - self.resident_groups_bytes - self.order_bytes;
        if config.order != OrderSettings::Sequential {
            let fits = |window: u32| {
                let settings = OrderSettings::Window { row_groups: window };
                let order = order(settings, groups, config.seed);
                let order_bytes = ORDER_WALKS * order.rows_bytes();
                // One row group more than the window is wide may be in use at once.
                fixed + order_bytes + largest(groups, window + 1) <= self.budget_bytes
            };
            // The widest window that fits lies in `window..too_wide`; 0 is none.
            let (mut window, mut too_wide) = (0, self.needed_groups);
            while window + 1 < too_wide {
                let middle = window.midpoint(too_wide);
                *(if fits(middle) { &mut window } else { &mut too_wide }) = middle;
            }
            if window > 0 {
                ways.push(format!("shuffle within a window of {window} row groups"));
            } else if self.needed_groups > 1 {
                ways.push("write shards with smaller row groups (smog-tools shard)".to_owned());
            }
        }
        if self.slots_bytes > self.budget_bytes / 4 {
            ways.push("lower batch_size or num_slots".to_owned());
        }
        if self.scratch_bytes > self.budget_bytes / 4 {
            ways.push("lower workers or the limit on pixels".to_owned());
        }
        ways.join(", or ")
    }
}

/// Bytes of the `count` largest row groups.
fn largest(groups: &[RowGroupInfo], count: u32) -> u64 {
    let mut sizes: Vec<u64> = groups.iter().map(held_bytes).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.iter().take(count as usize).sum()
}

impl fmt::Display for MemoryForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "{} slots x {:.1} MB = {:.1} MB, row groups {:.1} MB ({} at once need {:.1} MB), \
             scratch of {} workers {:.1} MB, places {:.1} MB, order {:.1} MB, together {:.1} MB of {:.1} MB",
            self.num_slots,
            mb(self.slot_bytes),
            mb(self.slots_bytes),
            mb(self.resident_groups_bytes),
            self.needed_groups,
            mb(self.needed_groups_bytes),
            self.workers,
            mb(self.scratch_bytes),
            mb(self.source_bytes),
            mb(self.order_bytes),
            mb(self.total_bytes()),
            mb(self.budget_bytes),
        )
    }
}
