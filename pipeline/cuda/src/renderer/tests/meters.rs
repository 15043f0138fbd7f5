//! Rings of the renderer are metered: rows before the engines and the workers, images before the kernels, the memory for
//! images, slots.

use std::time::Instant;

use smog_pipeline::runtime::metrics::{Bottleneck, DeviceMetrics, StreamMetrics};
use smog_pipeline::runtime::{DECODE, KERNELS, SURFACES, TRAINER};

use super::super::host::LAZY;
use super::*;

/// Slots of the stream.
const SLOTS: u64 = StreamConfig::DEFAULT_NUM_SLOTS as u64;

/// Takes a batch as a trainer does.
fn step(stream: &mut BatchStream) {
    let batch = DeviceBatch::new(take(stream).unwrap()).unwrap();
    // SAFETY: the device does not look at the stream.
    unsafe {
        batch.wait_ready(host::TRAINER).unwrap();
        batch.release(host::TRAINER).unwrap();
    }
}

/// Takes `steps` batches and waits until all slots are full again and everything stands still.
fn filled(
    kind: impl Fn(u32) -> Kind,
    behaviour: Behaviour,
    steps: u64,
) -> (BatchStream, Arc<DeviceRenderer>) {
    let (source, device) = (Images::source(70, kind), HostDevice::new(behaviour));
    let (mut stream, renderer) = open(&source, &config(), &device, Unchecked::Decode);
    for _ in 0..steps {
        step(&mut stream);
    }
    // A slot is counted when nothing of it is left to do.
    let ready = |metrics: &StreamMetrics| metrics.queue(TRAINER).map_or(0, |queue| queue.depth);
    while u64::from(ready(&stream.metrics())) < SLOTS {
        std::thread::sleep(Duration::from_millis(1));
    }
    (stream, renderer)
}

/// The same; gives what was counted until then.
fn metered(
    kind: impl Fn(u32) -> Kind,
    behaviour: Behaviour,
    steps: u64,
) -> (StreamMetrics, RouteCounts) {
    let (stream, renderer) = filled(kind, behaviour, steps);
    let metrics = stream.metrics();
    stream.close().unwrap();
    (metrics, renderer.counts())
}

fn device(metrics: &StreamMetrics) -> DeviceMetrics {
    metrics.device.expect("the renderer is on a device")
}

fn fill(metrics: &StreamMetrics, ring: &str) -> f64 {
    metrics.rings(None).iter().find(|fill| fill.ring == ring).expect("it is metered").ratio
}

#[test]
fn rows_are_counted_where_they_wait_and_by_whom_they_are_decoded() {
    watched(|| {
        let kind = |number| if number % 3 == 0 { Kind::Progressive } else { Kind::Plain };
        let (metrics, counts) = metered(kind, Behaviour::default(), 25);
        let queues: Vec<_> = metrics.queues.iter().map(|q| (q.stage, q.capacity)).collect();
        // A batch of the engines has four images, two are under way, and there are three workers.
        let expected = [(DECODE, 10), (ENGINES, 8), (PASSED, 6), (AUGMENT, 10), (TRAINER, 3)];
        assert_eq!(queues[1..], expected);
        for queue in &metrics.queues[1..] {
            assert_eq!(queue.depth, if queue.stage == TRAINER { 3 } else { 0 }, "{queue:?}");
            assert!(queue.mean_depth > 0.0, "something was there once: {queue:?}");
        }
        let samples = |stage| metrics.stage(stage).expect("it ran").samples_total;
        assert_eq!(samples(ENGINES), counts.hardware);
        assert_eq!(samples(DECODE), counts.hybrid + counts.cpu);
        assert_eq!((samples(AUGMENT), samples(KERNELS)), (280, 280));
        let kernels = metrics.stage(KERNELS).expect("they ran");
        assert!(kernels.busy_seconds_total > 0.0 && kernels.threads == 1, "{kernels:?}");
    });
}

#[test]
fn without_engines_there_is_neither_a_queue_before_them_nor_one_behind() {
    watched(|| {
        let behaviour = Behaviour { engines: None, ..Behaviour::default() };
        let (metrics, counts) = metered(|_| Kind::Plain, behaviour, 5);
        assert!(metrics.queue(ENGINES).is_none() && metrics.queue(PASSED).is_none());
        assert!(metrics.stage(ENGINES).is_none() && counts.hybrid == 80, "{counts:?}");
    });
}

#[test]
fn slow_engines_are_the_slowest_stage_and_rows_wait_for_them() {
    watched(|| {
        let behaviour = Behaviour { engines_lag: true, ..Behaviour::default() };
        let source = Images::source(70, |_| Kind::Plain);
        let (mut stream, _) =
            open(&source, &config(), &HostDevice::new(behaviour), Unchecked::Decode);
        // Each of their batches doubles the time, so sooner or later hardly anything is beside it.
        let (metrics, busy_ratio) = loop {
            step(&mut stream);
            let metrics = stream.metrics();
            let slowest = metrics.bottleneck(metrics.uptime_seconds);
            if let Some(Bottleneck { stage: ENGINES, busy_ratio }) = slowest
                && busy_ratio > 0.5
            {
                break (metrics, busy_ratio);
            }
        };
        stream.close().unwrap();
        // While they are busy there is a row at least of the eight that they hold.
        let fill = fill(&metrics, ENGINES);
        assert!(fill > 0.9 * busy_ratio / 8.0, "{fill}, busy {busy_ratio}");
    });
}

#[test]
fn memory_of_images_counts_as_in_use_until_the_kernels_have_read_them() {
    watched(|| {
        let (metrics, _) = metered(|_| Kind::Plain, Behaviour::default(), 25);
        let found = device(&metrics);
        assert_eq!((found.surfaces_bytes, found.surfaces_capacity_bytes), (0, 1 << 20));
        let ratio = fill(&metrics, SURFACES);
        assert!(ratio > 0.0 && ratio < 0.5, "{ratio}");
        // Memory for two images on a device that does nothing before it is waited for.
        let behaviour = Behaviour { surface_bytes: 14_000, lazy: true, ..Behaviour::default() };
        let (stream, _) = filled(|_| Kind::Plain, behaviour, 25);
        let begun = Instant::now();
        let found = device(&stream.metrics());
        assert!(found.surfaces_bytes > 0, "{found:?}");
        let since = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        let least = since.elapsed().as_secs_f64();
        let later = device(&stream.metrics());
        let most = begun.elapsed().as_secs_f64();
        // Nothing happens meanwhile: the same bytes are in use all the time.
        let added = later.surfaces_byte_seconds_total - found.surfaces_byte_seconds_total;
        let seconds = added / found.surfaces_bytes as f64;
        assert!((least..=most).contains(&seconds), "{seconds} s, not {least} to {most}");
        stream.close().unwrap();
        assert!(found.wait_kernels_seconds_total >= LAZY.as_secs_f64(), "{found:?}");
    });
}

#[test]
fn slots_are_asked_where_the_device_is_with_them() {
    watched(|| {
        for lazy in [false, true] {
            let behaviour = Behaviour { lazy, ..Behaviour::default() };
            let (metrics, _) = metered(|_| Kind::Plain, behaviour, 25);
            let found = device(&metrics);
            // All rounds but the first of each slot began behind the trainer's use.
            let expected = if lazy { (25, 25) } else { (0, 0) };
            let counted = (found.held_back_batches_total, found.unfinished_batches_total);
            assert_eq!(counted, expected, "lazy: {lazy}");
        }
    });
}

#[test]
fn a_stream_counts_from_its_own_beginning() {
    watched(|| {
        let behaviour = Behaviour { lazy: true, ..Behaviour::default() };
        let (source, device) = (Images::source(70, |_| Kind::Plain), HostDevice::new(behaviour));
        let renderer = DeviceRenderer::new(device, config().render, Unchecked::Decode, WORKERS);
        let renderer = Arc::new(renderer);
        for _ in 0..2 {
            let memory = Arc::new(renderer.ring(PixelKind::F32));
            let parts = StreamParts { memory, renderer: Arc::clone(&renderer) as _ };
            let mut stream =
                BatchStream::open_with(Arc::clone(&source), config(), Start::Step(0), parts)
                    .unwrap();
            for _ in 0..4 {
                step(&mut stream);
            }
            let found = stream.metrics().device.expect("the renderer is on a device");
            assert_eq!(found.unfinished_batches_total, 4);
            stream.close().unwrap();
        }
    });
}
