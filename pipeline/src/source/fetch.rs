//! A row group on its way.

use crossbeam::channel::{Receiver, Sender, bounded};
use tokio::task::AbortHandle;

use super::{RowGroup, SourceError};

/// A row group that a source is fetching. Dropping it stops that.
#[derive(Debug)]
pub struct Fetch {
    arrived: Receiver<Result<RowGroup, SourceError>>,
    task: Option<AbortHandle>,
}

impl Fetch {
    /// A fetch and the sender for its one result.
    pub fn channel() -> (Sender<Result<RowGroup, SourceError>>, Self) {
        let (sender, arrived) = bounded(1);
        (sender, Self { arrived, task: None })
    }

    /// The task that is stopped by the drop.
    pub(crate) fn with_task(mut self, task: AbortHandle) -> Self {
        self.task = Some(task);
        self
    }

    /// Where the result arrives, once. The sender's end is closed without one only by a bug.
    pub fn arrived(&self) -> &Receiver<Result<RowGroup, SourceError>> {
        &self.arrived
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
