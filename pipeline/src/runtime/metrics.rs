//! What the stages count, and the snapshot that the trainer logs.

use serde::Serialize;

/// Counters of one stage, summed over its threads, since the stream was opened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageMetrics {
    /// Name of the stage.
    pub stage: &'static str,
    /// Threads that do it.
    pub threads: u32,
    /// Samples that went through.
    pub samples_total: u64,
    /// Encoded bytes that went through.
    pub bytes_total: u64,
    /// Time at work.
    pub busy_seconds_total: f64,
    /// Time waiting for something to do.
    pub wait_input_seconds_total: f64,
    /// Time waiting for somebody to take the result.
    pub wait_output_seconds_total: f64,
    /// Median, 90th and 99th percentile of the time per task.
    pub task_seconds: [f64; 3],
    /// Failures by kind.
    pub failures_total: Vec<(&'static str, u64)>,
}

/// A snapshot of the stream's counters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamMetrics {
    /// In the order of the flow: fetch, decode, augment, collate.
    pub stages: Vec<StageMetrics>,
    /// Batches handed to the trainer.
    pub batches_total: u64,
    /// Samples handed to the trainer, padding not counted.
    pub samples_total: u64,
    /// Rows where another sample stands in for a bad one.
    pub substituted_total: u64,
    /// Time that the trainer waited in `next_batch`.
    pub data_wait_seconds_total: f64,
    /// Share of the time in which at least one batch was ready.
    pub ready_occupancy: f64,
    /// Batches ready now.
    pub ready_slots: u32,
    /// Encoded bytes of the row groups in memory now.
    pub resident_bytes: u64,
    /// Seconds since the stream was opened.
    pub uptime_seconds: f64,
}
