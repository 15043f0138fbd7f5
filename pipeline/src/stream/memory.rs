//! What the stream will take of memory, computed before a thread starts.

use std::fmt;

use serde::Serialize;

/// Resolved figures of a stream, to be printed at start-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryForecast {
    /// All slots.
    pub slots_bytes: u64,
    /// One slot: batch size times 3 times the sum of squared sides over the views.
    pub slot_bytes: u64,
    /// Number of slots.
    pub num_slots: u32,
    /// Most encoded bytes that the order ever needs at once.
    pub needed_groups_bytes: u64,
    /// Most row groups that it ever needs at once.
    pub needed_groups: u32,
    /// Encoded bytes that may be in memory, read ahead included. Never less than `needed_groups_bytes`.
    pub resident_groups_bytes: u64,
    /// Whether the whole data set stays in memory, so that every row group is read once.
    pub keeps_all: bool,
    /// Buffers of the workers.
    pub scratch_bytes: u64,
    /// Order of the epochs: the one under way and the next.
    pub order_bytes: u64,
    /// The budget.
    pub budget_bytes: u64,
    /// Threads that decode and augment.
    pub workers: u32,
}

impl MemoryForecast {
    /// Slots, row groups, scratch and order together.
    pub fn total_bytes(&self) -> u64 {
        self.slots_bytes + self.resident_groups_bytes + self.scratch_bytes + self.order_bytes
    }
}

impl fmt::Display for MemoryForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "{} slots x {:.1} MB = {:.1} MB, row groups {:.1} MB ({} at once need {:.1} MB), \
             scratch of {} workers {:.1} MB, order {:.1} MB, together {:.1} MB of {:.1} MB",
            self.num_slots,
            mb(self.slot_bytes),
            mb(self.slots_bytes),
            mb(self.resident_groups_bytes),
            self.needed_groups,
            mb(self.needed_groups_bytes),
            self.workers,
            mb(self.scratch_bytes),
            mb(self.order_bytes),
            mb(self.total_bytes()),
            mb(self.budget_bytes),
        )
    }
}
