//! Names of threads, stages, spans and metrics, each in one place.
//!
//! A metric is called `<stage>_<noun>_<unit>[_total]`: one of the stages below, an underscore, and one of the
//! nouns. `docs/PERFORMANCE.md` says how they are read.

// ---- threads; Linux cuts their names after 15 bytes ----

/// Begins the name of every thread of a stream.
pub const THREAD_PREFIX: &str = "smog-";
/// Reads row groups.
pub const READ_THREAD: &str = "smog-read";
/// Admits batches and hands out rows.
pub const FETCH_THREAD: &str = "smog-fetch";
/// Begins the name of a thread that decodes and augments; its number follows.
pub const RENDER_THREAD: &str = "smog-render-";

// ---- stages, in the order of the flow; also the names of their spans ----

/// Stage that reads row groups.
pub const READ: &str = "read";
/// Stage that hands out rows.
pub const FETCH: &str = "fetch";
/// Stage that decodes images.
pub const DECODE: &str = "decode";
/// Stage that makes views.
pub const AUGMENT: &str = "augment";
/// Stage that puts rows together. It has no thread: whoever fills the last row of a slot publishes the batch.
pub const COLLATE: &str = "collate";
/// Whoever takes the batches.
pub const TRAINER: &str = "trainer";

// ---- stages and rings of a GPU ----

/// Stage of the JPEG engines, beside [`DECODE`], whose threads have what the engines do not.
pub const ENGINES: &str = "engines";
/// The queue of what the engines pass on to those threads.
pub const PASSED: &str = "passed";
/// Stage of the kernels that make views, by the device's own time; [`AUGMENT`] is the thread that enqueues them.
pub const KERNELS: &str = "kernels";
/// Stage that copies batches to the device, where the host made their views. It is the trainer's.
pub const TRANSFER: &str = "transfer";
/// The memory of the device for decoded images.
pub const SURFACES: &str = "surfaces";

// ---- spans beside those of the stages ----

/// A stage waits for something to do.
pub const WAIT_INPUT: &str = "wait_input";
/// A stage waits for room for its result.
pub const WAIT_OUTPUT: &str = "wait_output";
/// The trainer waits for its batch.
pub const TAKE: &str = "take";
/// Target of events whose fields are counters, drawn as curves in a trace.
pub const COUNTERS: &str = "smog::counters";

// ---- nouns of a stage ----

/// Threads that do it.
pub const THREADS: &str = "threads";
/// Samples that went through.
pub const SAMPLES_TOTAL: &str = "samples_total";
/// Encoded bytes that went through.
pub const BYTES_TOTAL: &str = "bytes_total";
/// Time at work, over all threads.
pub const BUSY_SECONDS_TOTAL: &str = "busy_seconds_total";
/// Time without anything to do, over all threads.
pub const WAIT_INPUT_SECONDS_TOTAL: &str = "wait_input_seconds_total";
/// Time without room for the result, over all threads.
pub const WAIT_OUTPUT_SECONDS_TOTAL: &str = "wait_output_seconds_total";
/// Median, 90th and 99th percentile of the time per task.
pub const TASK_SECONDS: [&str; 3] = ["task_p50_seconds", "task_p90_seconds", "task_p99_seconds"];
/// Failures that were borne, by kind.
pub const FAILURES_TOTAL: &str = "failures_total";

// ---- nouns of the queue that a stage takes from ----

/// What lies in the queue now.
pub const QUEUE_DEPTH: &str = "queue_depth";
/// What has room in it.
pub const QUEUE_CAPACITY: &str = "queue_capacity";
/// Share of the time in which it was not empty.
pub const QUEUE_OCCUPANCY_RATIO: &str = "queue_occupancy_ratio";
/// Time in which it was not empty.
pub const QUEUE_OCCUPIED_SECONDS_TOTAL: &str = "queue_occupied_seconds_total";
/// Mean depth over time.
pub const QUEUE_MEAN_DEPTH: &str = "queue_mean_depth";

// ---- of a renderer on a device ----

/// Bytes of the memory for decoded images in use now.
pub const SURFACES_BYTES: &str = "surfaces_bytes";
/// Bytes of that memory.
pub const SURFACES_CAPACITY_BYTES: &str = "surfaces_capacity_bytes";
/// Mean of the bytes in use over time.
pub const SURFACES_MEAN_BYTES: &str = "surfaces_mean_bytes";
/// Time that decoders waited for room until kernels had read an image.
pub const SURFACES_WAIT_KERNELS_SECONDS_TOTAL: &str = "surfaces_wait_kernels_seconds_total";
/// Time that decoders waited for room until another one had done with an image.
pub const SURFACES_WAIT_DECODERS_SECONDS_TOTAL: &str = "surfaces_wait_decoders_seconds_total";
/// Batches whose first kernels were enqueued while the device still worked on what their slot held before.
pub const KERNELS_HELD_BACK_BATCHES_TOTAL: &str = "kernels_held_back_batches_total";
/// Batches that the trainer took before their kernels had ended.
pub const TRAINER_UNFINISHED_BATCHES_TOTAL: &str = "trainer_unfinished_batches_total";

// ---- of the whole stream ----

/// Batches handed to the trainer.
pub const TRAINER_BATCHES_TOTAL: &str = "trainer_batches_total";
/// Samples handed to the trainer, padding not counted.
pub const TRAINER_SAMPLES_TOTAL: &str = "trainer_samples_total";
/// Time that the trainer waited for batches.
pub const TRAINER_DATA_WAIT_SECONDS_TOTAL: &str = "trainer_data_wait_seconds_total";
/// Time of each slot in each of its states: free, filling, ready, held.
pub const SLOT_SECONDS_TOTAL: [&str; 4] = [
    "slot_free_seconds_total",
    "slot_filling_seconds_total",
    "slot_ready_seconds_total",
    "slot_held_seconds_total",
];
/// Bytes of the row groups in memory now.
pub const FETCH_RESIDENT_BYTES: &str = "fetch_resident_bytes";
/// Most of them so far.
pub const FETCH_PEAK_RESIDENT_BYTES: &str = "fetch_peak_resident_bytes";
/// What was fetched over the network.
pub const REMOTE: &str = "remote";
/// Age of the stream.
pub const UPTIME_SECONDS: &str = "uptime_seconds";
