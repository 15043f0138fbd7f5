//! How full the rings between the stages are.

use super::StreamMetrics;
use crate::runtime::SURFACES;

/// How full a ring was on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RingFill {
    /// Its name: of a queue the stage that takes from it, else [`SURFACES`].
    pub ring: &'static str,
    /// 0 for empty, 1 for full.
    pub ratio: f64,
}

impl StreamMetrics {
    /// How full each ring was since `before`, an earlier snapshot of the same stream, or since the stream was opened:
    /// queues in the order of the flow, then the memory for decoded images on a device.
    pub fn rings(&self, before: Option<&Self>) -> Vec<RingFill> {
        let begun = before.map_or(0.0, |before| before.uptime_seconds);
        let seconds = self.uptime_seconds - begun;
        let fill = |ring, total: f64, earlier: f64, capacity: f64| {
            let ratio = (total - earlier) / (seconds * capacity);
            RingFill { ring, ratio: if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 0.0 } }
        };
        let mut rings: Vec<_> = self
            .queues
            .iter()
            .map(|queue| {
                let earlier = before.and_then(|before| before.queue(queue.stage));
                let earlier = earlier.map_or(0.0, |queue| queue.mean_depth * begun);
                let total = queue.mean_depth * self.uptime_seconds;
                fill(queue.stage, total, earlier, queue.capacity.into())
            })
            .collect();
        rings.extend(self.device.map(|device| {
            let earlier = before.and_then(|before| before.device);
            let earlier = earlier.map_or(0.0, |device| device.surfaces_byte_seconds_total);
            let capacity = device.surfaces_capacity_bytes as f64;
            fill(SURFACES, device.surfaces_byte_seconds_total, earlier, capacity)
        }));
        rings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::metrics::{DeviceMetrics, QueueMetrics};
    use crate::runtime::{DECODE, TRAINER};

    fn snapshot(uptime_seconds: f64, means: [f64; 2], byte_seconds: f64) -> StreamMetrics {
        let queue = |stage, capacity, mean_depth| QueueMetrics {
            stage,
            capacity,
            mean_depth,
            ..QueueMetrics::default()
        };
        StreamMetrics {
            queues: vec![queue(DECODE, 40, means[0]), queue(TRAINER, 4, means[1])],
            device: Some(DeviceMetrics {
                surfaces_capacity_bytes: 1000,
                surfaces_byte_seconds_total: byte_seconds,
                ..DeviceMetrics::default()
            }),
            uptime_seconds,
            ..StreamMetrics::default()
        }
    }

    #[test]
    fn a_ring_is_as_full_as_it_was_on_average_since_the_last_look() {
        let ratios = |rings: Vec<RingFill>| -> Vec<(&str, f64)> {
            rings.iter().map(|fill| (fill.ring, (fill.ratio * 1e6).round() / 1e6)).collect()
        };
        let first = snapshot(10.0, [10.0, 4.0], 2500.0);
        assert_eq!(ratios(first.rings(None)), [(DECODE, 0.25), (TRAINER, 1.0), (SURFACES, 0.25)]);
        // In the five seconds after: 40 rows, no batch, all of the memory.
        let second = snapshot(15.0, [20.0, 4.0 * 10.0 / 15.0], 7500.0);
        let since = second.rings(Some(&first));
        assert_eq!(ratios(since), [(DECODE, 1.0), (TRAINER, 0.0), (SURFACES, 1.0)]);
    }

    #[test]
    fn a_ring_without_room_or_time_is_empty() {
        let mut none = snapshot(0.0, [0.0, 0.0], 0.0);
        none.queues[0].capacity = 0;
        assert!(none.rings(None).iter().all(|fill| fill.ratio == 0.0));
    }
}
