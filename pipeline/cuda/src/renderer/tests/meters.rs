//! Rings of the renderer are metered: rows before the engines and the workers, images before the kernels, the memory for
//! images, slots.

use smog_pipeline::runtime::metrics::{DeviceMetrics, StreamMetrics};
use smog_pipeline::runtime::{DECODE, KERNELS, SURFACES, TRAINER};

use super::super::host::LAZY;
use super::*;

/// Rows of a batch, and slots of the stream.
const ROWS: u64 = 10;
const SLOTS: u64 = StreamConfig::DEFAULT_NUM_SLOTS as u64;

/// Takes `steps` batches as a trainer does, and waits until all slots are full again and everything stands still.
fn metered(
    kind: impl Fn(u32) -> Kind,
    behaviour: Behaviour,
    steps: u64,
) -> (StreamMetrics, RouteCounts) {
    let (source, device) = (Images::source(70, kind), HostDevice::new(behaviour));
    let (mut stream, renderer) = open(&source, &config(), &device, Unchecked::Decode);
    for _ in 0..steps {
        let batch = DeviceBatch::new(take(&mut stream).unwrap()).unwrap();
        // SAFETY: the device does not look at the stream.
        unsafe {
            batch.wait_ready(host::TRAINER).unwrap();
            batch.release(host::TRAINER).unwrap();
        }
    }
    let made = |metrics: &StreamMetrics| metrics.stage(KERNELS).map_or(0, |s| s.samples_total);
    while made(&stream.metrics()) < (steps + SLOTS) * ROWS {
        std::thread::sleep(Duration::from_millis(1));
    }
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
        let batch_takes = Duration::from_millis(10);
        let behaviour = Behaviour { batch_takes, ..Behaviour::default() };
        let (metrics, counts) = metered(|_| Kind::Plain, behaviour, 25);
        let slowest = metrics.bottleneck(metrics.uptime_seconds).expect("there are stages");
        assert_eq!(slowest.stage, ENGINES, "{metrics:#?} {counts:?}");
        assert!(slowest.busy_ratio > 0.5, "{slowest:?}");
        assert!(fill(&metrics, ENGINES) > 0.25, "{:?}", metrics.rings(None));
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
        let (metrics, _) = metered(|_| Kind::Plain, behaviour, 25);
        let found = device(&metrics);
        assert!(found.surfaces_bytes > 0, "{found:?}");
        assert!(fill(&metrics, SURFACES) > 0.25, "{:?}", metrics.rings(None));
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
                let batch = DeviceBatch::new(take(&mut stream).unwrap()).unwrap();
                // SAFETY: the device does not look at the stream.
                unsafe {
                    batch.wait_ready(host::TRAINER).unwrap();
                    batch.release(host::TRAINER).unwrap();
                }
            }
            let found = stream.metrics().device.expect("the renderer is on a device");
            assert_eq!(found.unfinished_batches_total, 4);
            stream.close().unwrap();
        }
    });
}
