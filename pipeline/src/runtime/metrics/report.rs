//! A snapshot of the counters, as tests, benches and the run folder see it.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::DeviceMetrics;
use crate::remote::RemoteMetrics;
use crate::runtime::names::{self, *};

/// Counters of one stage, summed over its threads, since the stream was opened.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Median, 90th and 99th percentile of the time per task, to within a fifth; 0 where nothing was timed.
    pub task_seconds: [f64; 3],
    /// Failures that were borne, by kind.
    pub failures_total: Vec<(&'static str, u64)>,
}

/// The queue that a stage takes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueMetrics {
    /// Name of the stage that takes from it.
    pub stage: &'static str,
    /// What lies in it now.
    pub depth: u32,
    /// What has room in it.
    pub capacity: u32,
    /// Mean depth over time.
    pub mean_depth: f64,
    /// Time in which it was not empty.
    pub occupied_seconds_total: f64,
    /// Share of the time in which it was not empty.
    pub occupancy_ratio: f64,
}

/// A snapshot of the stream's counters. As JSON it is flat, with the names of [`names`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamMetrics {
    /// In the order of the flow: read, fetch, decode, augment; those of a GPU among them.
    pub stages: Vec<StageMetrics>,
    /// In the order of the flow: in front of fetch, decode and the trainer; those of a GPU among them.
    pub queues: Vec<QueueMetrics>,
    /// Seconds of each slot in each of its states: free, filling, ready, held by the trainer.
    pub slots: Vec<[f64; 4]>,
    /// Memory and slots on a device, where the renderer is on one.
    pub device: Option<DeviceMetrics>,
    /// Batches handed to the trainer.
    pub batches_total: u64,
    /// Samples handed to the trainer, padding not counted.
    pub samples_total: u64,
    /// Time that the trainer waited in `next_batch`.
    pub data_wait_seconds_total: f64,
    /// Encoded bytes of the row groups in memory now, with what belongs to them.
    pub resident_bytes: u64,
    /// Most of that since the stream was opened or moved by `seek`.
    pub peak_resident_bytes: u64,
    /// Seconds since the stream was opened.
    pub uptime_seconds: f64,
    /// What was fetched over the network since the source was opened; `None` where nothing is.
    pub remote: Option<RemoteMetrics>,
}

/// Who is the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bottleneck {
    /// The stage.
    pub stage: &'static str,
    /// Share of the time in which its threads were busy.
    pub busy_ratio: f64,
}

impl StreamMetrics {
    /// The counters of a stage by its name.
    pub fn stage(&self, name: &str) -> Option<&StageMetrics> {
        self.stages.iter().find(|stage| stage.stage == name)
    }

    /// The queue in front of a stage.
    pub fn queue(&self, stage: &str) -> Option<&QueueMetrics> {
        self.queues.iter().find(|queue| queue.stage == stage)
    }

    /// Batches ready now.
    pub fn ready_slots(&self) -> u32 {
        self.queue(TRAINER).map_or(0, |queue| queue.depth)
    }

    /// Bad samples met, over all kinds; each was replaced by another.
    pub fn bad_samples_total(&self) -> u64 {
        self.stages.iter().flat_map(|stage| &stage.failures_total).map(|&(_, count)| count).sum()
    }

    /// The stage whose threads were busy for the largest share of `seconds`, the trainer among them: it is
    /// busy while it does not wait. Decode and augment share threads where no queue lies between them, so of the two
    /// the larger is named then, with the share of both. `None` for a stream that has no stages yet.
    pub fn bottleneck(&self, seconds: f64) -> Option<Bottleneck> {
        let busy =
            |name| self.stage(name).map_or(0.0, |stage: &StageMetrics| stage.busy_seconds_total);
        let all = [DECODE, AUGMENT];
        let shared = if self.queue(AUGMENT).is_some() { &all[..0] } else { &all[..] };
        let by_stage = self.stages.iter().filter_map(|stage| {
            let busy_seconds = if !shared.contains(&stage.stage) {
                stage.busy_seconds_total
            } else if shared.iter().all(|&other| busy(other) <= stage.busy_seconds_total) {
                shared.iter().map(|&name| busy(name)).sum()
            } else {
                return None;
            };
            let busy_ratio = busy_seconds / (seconds * f64::from(stage.threads));
            Some(Bottleneck { stage: stage.stage, busy_ratio })
        });
        let trainer = (self.batches_total > 0).then(|| Bottleneck {
            stage: TRAINER,
            busy_ratio: (1.0 - self.data_wait_seconds_total / seconds).max(0.0),
        });
        by_stage.chain(trainer).max_by(|a, b| a.busy_ratio.total_cmp(&b.busy_ratio))
    }
}

impl Serialize for StreamMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for stage in &self.stages {
            let mut of = Owner { map: &mut map, stage: stage.stage };
            of.put(THREADS, &stage.threads)?;
            of.put(SAMPLES_TOTAL, &stage.samples_total)?;
            of.put(BYTES_TOTAL, &stage.bytes_total)?;
            of.put(BUSY_SECONDS_TOTAL, &stage.busy_seconds_total)?;
            of.put(WAIT_INPUT_SECONDS_TOTAL, &stage.wait_input_seconds_total)?;
            of.put(WAIT_OUTPUT_SECONDS_TOTAL, &stage.wait_output_seconds_total)?;
            for (name, value) in TASK_SECONDS.into_iter().zip(&stage.task_seconds) {
                of.put(name, value)?;
            }
            let failures: std::collections::BTreeMap<_, _> =
                stage.failures_total.iter().copied().collect();
            of.put(FAILURES_TOTAL, &failures)?;
        }
        for queue in &self.queues {
            let mut of = Owner { map: &mut map, stage: queue.stage };
            of.put(QUEUE_DEPTH, &queue.depth)?;
            of.put(QUEUE_CAPACITY, &queue.capacity)?;
            of.put(QUEUE_MEAN_DEPTH, &queue.mean_depth)?;
            of.put(QUEUE_OCCUPIED_SECONDS_TOTAL, &queue.occupied_seconds_total)?;
            of.put(QUEUE_OCCUPANCY_RATIO, &queue.occupancy_ratio)?;
        }
        for (state, name) in SLOT_SECONDS_TOTAL.into_iter().enumerate() {
            let times: Vec<f64> = self.slots.iter().map(|slot| slot[state]).collect();
            map.serialize_entry(name, &times)?;
        }
        if let Some(device) = &self.device {
            device.write(self.uptime_seconds, &mut map)?;
        }
        map.serialize_entry(TRAINER_BATCHES_TOTAL, &self.batches_total)?;
        map.serialize_entry(TRAINER_SAMPLES_TOTAL, &self.samples_total)?;
        map.serialize_entry(TRAINER_DATA_WAIT_SECONDS_TOTAL, &self.data_wait_seconds_total)?;
        map.serialize_entry(FETCH_RESIDENT_BYTES, &self.resident_bytes)?;
        map.serialize_entry(FETCH_PEAK_RESIDENT_BYTES, &self.peak_resident_bytes)?;
        map.serialize_entry(names::UPTIME_SECONDS, &self.uptime_seconds)?;
        if let Some(remote) = &self.remote {
            map.serialize_entry(names::REMOTE, remote)?;
        }
        map.end()
    }
}

/// Writes entries whose names begin with a stage.
struct Owner<'a, M> {
    map: &'a mut M,
    stage: &'a str,
}

impl<M: SerializeMap> Owner<'_, M> {
    fn put<T: Serialize>(&mut self, noun: &str, value: &T) -> Result<(), M::Error> {
        self.map.serialize_entry(&format!("{}_{noun}", self.stage), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: &'static str, threads: u32, busy_seconds_total: f64) -> StageMetrics {
        StageMetrics { stage, threads, busy_seconds_total, ..StageMetrics::default() }
    }

    fn metrics(stages: Vec<StageMetrics>, data_wait_seconds_total: f64) -> StreamMetrics {
        StreamMetrics { stages, batches_total: 1, data_wait_seconds_total, ..Default::default() }
    }

    #[test]
    fn the_bottleneck_is_the_stage_whose_threads_are_busiest() {
        let stages = || {
            vec![
                stage(READ, 1, 3.0),
                stage(FETCH, 1, 0.1),
                stage(DECODE, 2, 7.0),
                stage(AUGMENT, 2, 12.0),
            ]
        };
        let found = metrics(stages(), 4.0).bottleneck(10.0).expect("there are stages");
        assert_eq!(found, Bottleneck { stage: AUGMENT, busy_ratio: 0.95 });
        let mut slow_disk = stages();
        slow_disk[0].busy_seconds_total = 9.9;
        let found = metrics(slow_disk, 4.0).bottleneck(10.0).expect("there are stages");
        assert_eq!(found, Bottleneck { stage: READ, busy_ratio: 0.99 });
        let found = metrics(stages(), 0.1).bottleneck(10.0).expect("there are stages");
        assert_eq!(found, Bottleneck { stage: TRAINER, busy_ratio: 0.99 });
        assert_eq!(StreamMetrics::default().bottleneck(10.0), None);
    }

    #[test]
    fn a_stage_with_threads_of_its_own_is_no_part_of_another() {
        let mut gpu = metrics(
            vec![
                stage(READ, 1, 1.0),
                stage(ENGINES, 1, 8.0),
                stage(DECODE, 16, 40.0),
                stage(AUGMENT, 1, 7.0),
            ],
            6.0,
        );
        gpu.queues = vec![QueueMetrics { stage: AUGMENT, ..QueueMetrics::default() }];
        let found = gpu.bottleneck(10.0).expect("there are stages");
        assert_eq!(found, Bottleneck { stage: ENGINES, busy_ratio: 0.8 });
        gpu.stages.push(stage(KERNELS, 1, 9.5));
        let found = gpu.bottleneck(10.0).expect("there are stages");
        assert_eq!(found, Bottleneck { stage: KERNELS, busy_ratio: 0.95 });
    }

    #[test]
    fn the_names_of_metrics_say_stage_noun_and_unit() {
        let metrics = StreamMetrics {
            stages: vec![StageMetrics {
                failures_total: vec![("damaged", 2)],
                samples_total: 9,
                ..stage(DECODE, 2, 7.0)
            }],
            queues: vec![QueueMetrics { stage: FETCH, depth: 1, ..QueueMetrics::default() }],
            slots: vec![[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]],
            device: Some(DeviceMetrics {
                surfaces_byte_seconds_total: 600.0,
                unfinished_batches_total: 3,
                ..DeviceMetrics::default()
            }),
            uptime_seconds: 2.0,
            ..StreamMetrics::default()
        };
        let json = serde_json::to_value(&metrics).expect("serialises");
        assert_eq!(json["decode_samples_total"], 9);
        assert_eq!(json["decode_busy_seconds_total"], 7.0);
        assert_eq!(json["decode_failures_total"]["damaged"], 2);
        assert!(json["decode_task_p99_seconds"].is_number());
        assert_eq!(json["fetch_queue_depth"], 1);
        assert_eq!(json["slot_held_seconds_total"], serde_json::json!([4.0, 8.0]));
        assert_eq!(json["surfaces_mean_bytes"], 300.0);
        assert_eq!(json["trainer_unfinished_batches_total"], 3);
        assert!(json["trainer_data_wait_seconds_total"].is_number());
    }
}
