//! The stages on a device that is memory of the processor, beside the CPU renderer: the same batches, whatever way the
//! images take.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::BinaryViewBuilder;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use smog_pipeline::augment::{Blur, CropRule, Jitter, Recipe, Solarize, ViewRecipe};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::codec::{DecoderKind, probe};
use smog_pipeline::order::OrderSettings;
use smog_pipeline::render::{BadSampleLimit, BadSamplePolicy};
use smog_pipeline::sample::{ImageFlags, ImageMeta, RowGroupId, SampleId};
use smog_pipeline::source::{RowGroup, RowGroupInfo, Source, SourceError};
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode, StreamParts};

use crate::check;

use super::engines::MAX_FAILED;
use super::host::{Behaviour, HostDevice, TRAINER};
use super::*;
use crate::ring::DeviceBatch;

mod decoders;
mod meters;

/// No test takes longer than this, or it hangs.
const HANG: Duration = Duration::from_secs(60);

/// Runs a test on a thread of its own and fails where it does not end.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = std::thread::Builder::new()
        .spawn(move || {
            let _done = done;
            test();
        })
        .unwrap();
    // Nothing is ever sent; a panic drops the sender, too.
    assert_eq!(ended.recv_timeout(HANG), Err::<(), _>(RecvTimeoutError::Disconnected), "it hangs");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What an image of the data set is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Progressive,
    /// Refused by nvJPEG, taken by the processor.
    Odd,
    /// Plain by its header; every decoder refuses it.
    Corrupt,
    Cmyk,
    Rotated,
    Png,
    Unchecked,
}

/// Images in memory.
struct Images {
    rows: Vec<(Vec<u8>, ImageMeta)>,
    groups: Vec<RowGroupInfo>,
}

const ROWS_PER_GROUP: u32 = 8;
/// Threads of the renderer.
const WORKERS: u32 = 3;

impl Images {
    /// `num` images; `kind` says what each of them is.
    fn source(num: u32, kind: impl Fn(u32) -> Kind) -> Arc<dyn Source> {
        let rows: Vec<_> = (0..num).map(|number| image(number, kind(number))).collect();
        let groups = (0..num.div_ceil(ROWS_PER_GROUP))
            .map(|group| {
                let first = group * ROWS_PER_GROUP;
                let count = ROWS_PER_GROUP.min(num - first);
                let of_group = rows[first as usize..].iter().take(count as usize);
                let bytes = of_group.map(|(encoded, _)| encoded.len() as u64).sum();
                RowGroupInfo { first_sample: SampleId(first), rows: count, bytes }
            })
            .collect();
        Arc::new(Self { rows, groups })
    }
}

/// An image of its own size and content.
fn image(number: u32, kind: Kind) -> (Vec<u8>, ImageMeta) {
    let (width, height) = (24 + number % 7 * 5, 40 - number % 5 * 4);
    let pixel = |at: u32| {
        let (x, y) = (at % width, at / width);
        [(x * 5 + number * 31) as u8, (y * 6 + number * 17) as u8, ((x + y) * 3) as u8]
    };
    let rgb: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    let mut encoded = Vec::new();
    if kind == Kind::Png {
        let mut encoder = png::Encoder::new(&mut encoded, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&rgb).unwrap();
        writer.finish().unwrap();
    } else {
        let mut encoder = Encoder::new(&mut encoded, 90);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_progressive(kind == Kind::Progressive);
        let (width, height) = (width as u16, height as u16);
        if kind == Kind::Cmyk {
            let cmyk: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 9]).collect();
            encoder.encode(&cmyk, width, height, ColorType::Cmyk).unwrap();
        } else {
            encoder.encode(&rgb, width, height, ColorType::Rgb).unwrap();
        }
    }
    match kind {
        Kind::Odd => drop(encoded.splice(2..2, *b"\xFF\xFE\x00\x04ab")),
        Kind::Corrupt => {
            // All that follows the header is one code that no table has, up to the end marker.
            let scan = encoded.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
            let end = encoded.len() - 2;
            for pair in encoded[scan..end].chunks_mut(2) {
                pair.copy_from_slice(&[0xFF, 0x00][..pair.len()]);
            }
            encoded[end - 1] = 0;
        }
        Kind::Rotated => {
            let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
            drop(encoded.splice(2..2, *exif));
        }
        _ => {}
    }
    let mut meta = probe(&encoded).unwrap();
    if kind == Kind::Unchecked {
        meta.flags = meta.flags.with(ImageFlags::UNCHECKED);
    }
    assert_eq!(meta.orientation, if kind == Kind::Rotated { 6 } else { 1 });
    (encoded, meta)
}

impl Source for Images {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        "images of a test"
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn max_pixels(&self) -> u64 {
        64 * 64
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let info = self.groups[group.0 as usize];
        let first = info.first_sample.0 as usize;
        let rows = &self.rows[first..first + info.rows as usize];
        let mut images = BinaryViewBuilder::new();
        rows.iter().for_each(|(encoded, _)| images.append_value(encoded));
        Ok(RowGroup {
            id: group,
            first_sample: info.first_sample,
            images: images.finish(),
            metas: rows.iter().map(|(_, meta)| *meta).collect(),
            labels: (first as i64..).take(rows.len()).collect(),
            paths: (first..).take(rows.len()).map(|number| format!("{number}.jpg")).collect(),
        })
    }
}

fn config() -> StreamConfig {
    let view = |size, large| ViewRecipe {
        count: 2,
        size,
        large,
        crop: CropRule::RandomResized { scale: [0.3, 1.0], ratio: [0.75, 4.0 / 3.0] },
        flip: 0.5,
        jitter: Some(Jitter { p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 }),
        gray: 0.2,
        blur: Some(Blur { p: 0.5, sigma: [0.1, 2.0] }),
        solarize: Some(Solarize { p: 0.2, threshold: 128 }),
    };
    let recipe = Recipe { views: vec![view(16, true), view(8, false)] };
    let mut config = StreamConfig {
        seed: 42,
        order: OrderSettings::Window { row_groups: 2 },
        workers: 2,
        ..StreamConfig::new(recipe, 10)
    };
    // The same decoder as that of the device, so that all ways give the same pixels.
    config.render.decoder = DecoderKind::TurboJpeg;
    config.bad_samples =
        BadSamplePolicy { max: BadSampleLimit::Rate(0.9), probation_samples: 1000 };
    config
}

fn open(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    device: &Arc<HostDevice>,
    unchecked: Unchecked,
) -> (BatchStream, Arc<DeviceRenderer>) {
    let renderer = DeviceRenderer::new(Arc::clone(device) as _, config.render, unchecked, WORKERS);
    let renderer = Arc::new(renderer);
    let memory = Arc::new(renderer.ring(PixelKind::F32));
    let parts = StreamParts { memory, renderer: Arc::clone(&renderer) as _ };
    let (source, config) = (Arc::clone(source), config.clone());
    (BatchStream::open_with(source, config, Start::Step(0), parts).unwrap(), renderer)
}

fn take(stream: &mut BatchStream) -> Option<HostBatch> {
    match stream.next_batch().unwrap() {
        Next::Batch(batch) => Some(batch),
        Next::End => None,
    }
}

/// Values of a view on the device.
fn values(batch: &DeviceBatch, view: usize) -> &[f32] {
    let view = batch.view(view);
    let count = 3 * (view.side as usize).pow(2) * view.rows as usize;
    // SAFETY: the device is memory of the processor; the batch holds the slot, and all its rows are written.
    unsafe { std::slice::from_raw_parts(view.address as *const f32, count) }
}

/// Takes `steps` batches of both renderers and compares all that is in them.
fn assert_same(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    behaviour: Behaviour,
    unchecked: Unchecked,
    steps: u32,
) -> (RouteCounts, Arc<HostDevice>) {
    assert_same_while(source, config, behaviour, unchecked, &|step, _| step < steps)
}

/// The same before each step for which `goes_on` says so.
fn assert_same_while(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    behaviour: Behaviour,
    unchecked: Unchecked,
    goes_on: &dyn Fn(u32, &HostDevice) -> bool,
) -> (RouteCounts, Arc<HostDevice>) {
    let device = HostDevice::new(behaviour);
    let (mut stream, renderer) = open(source, config, &device, unchecked);
    let mut expected =
        BatchStream::open(Arc::clone(source), config.clone(), Start::Step(0)).unwrap();
    for step in (0..).take_while(|&step| goes_on(step, &device)) {
        let (found, wanted) = (take(&mut stream).unwrap(), take(&mut expected).unwrap());
        assert!(found.view(0).is_empty(), "there are no pixels in the host's slot");
        let found = DeviceBatch::new(found).unwrap();
        // SAFETY: the device does not look at the stream.
        unsafe { found.wait_ready(TRAINER) }.unwrap();
        let host = found.host();
        assert_eq!(host.keys(), wanted.keys(), "step {step}");
        assert_eq!(host.labels(), wanted.labels());
        assert_eq!(host.plans(), wanted.plans());
        assert_eq!(host.valid(), wanted.valid());
        for view in 0..wanted.num_views() {
            let wanted: Vec<f32> = wanted.view(view).iter().map(|&value| value.into()).collect();
            assert!(values(&found, view) == wanted, "view {view} of step {step} differs");
        }
        // SAFETY: the device does not look at the stream.
        unsafe { found.release(TRAINER) }.unwrap();
    }
    // Nothing is decoded any more when they are read.
    stream.close().unwrap();
    (renderer.counts(), device)
}

#[test]
fn plain_images_give_the_batches_of_the_cpu_renderer_with_and_without_engines() {
    watched(|| {
        let source = Images::source(70, |_| Kind::Plain);
        for engines in [None, Some(1), Some(4), Some(32)] {
            let behaviour = Behaviour { engines, ..Behaviour::default() };
            let (counts, device) =
                assert_same(&source, &config(), behaviour, Unchecked::Decode, 25);
            assert_eq!(counts.cpu + counts.hardware_refused + counts.hybrid_refused, 0);
            assert_eq!(counts.hardware > 0, engines.is_some(), "{counts:?}");
            assert!(counts.hardware + counts.hybrid >= 250, "{counts:?}");
            let log = &device.log;
            assert_eq!(log.freed.load(SeqCst), 25);
            assert!(log.ready.load(SeqCst) >= 25 && log.held_back.load(SeqCst) >= 25);
            assert_eq!(log.waited.load(SeqCst), 25);
            assert_eq!(log.drained.load(SeqCst), 0);
        }
    });
}

#[test]
fn the_engines_get_a_second_batch_while_the_first_is_under_way() {
    watched(|| {
        let source = Images::source(70, |_| Kind::Plain);
        let behaviour = Behaviour { engines: Some(2), ..Behaviour::default() };
        let most_busy = |device: &HostDevice| device.log.most_busy.load(SeqCst);
        let goes_on =
            |step: u32, device: &HostDevice| step < 25 || step < 3000 && most_busy(device) < 2;
        let (counts, device) =
            assert_same_while(&source, &config(), behaviour, Unchecked::Decode, &goes_on);
        assert_eq!(device.log.most_busy.load(SeqCst), 2, "{counts:?}");
    });
}

#[test]
fn engines_that_fail_every_batch_are_given_up() {
    watched(|| {
        let source = Images::source(70, |_| Kind::Plain);
        for fails_late in [false, true] {
            let behaviour =
                Behaviour { engines_take_one_of: u32::MAX, fails_late, ..Behaviour::default() };
            let (counts, device) =
                assert_same(&source, &config(), behaviour, Unchecked::Decode, 25);
            assert_eq!(counts.hardware, 0);
            // One more may have been under way.
            let batches = device.log.batches.load(SeqCst);
            assert!((8..=9).contains(&batches), "{batches} batches, {counts:?}");
            assert!(counts.hardware_refused <= 4 * u64::from(batches), "{counts:?}");
            assert!(counts.hybrid >= 250, "{counts:?}");
        }
    });
}

#[test]
fn engines_that_fail_now_and_then_are_kept() {
    watched(|| {
        // Whichever images they get, and from whom, seven batches fail and the eighth does not.
        let source = Images::source(72, |_| Kind::Plain);
        let begun = |device: &HostDevice| device.log.batches.load(SeqCst);
        let goes_on =
            |step: u32, device: &HostDevice| step < 20 || step < 3000 && begun(device) < 40;
        for fails_late in [false, true] {
            let behaviour = Behaviour {
                engines: Some(1),
                engines_take_one_of: MAX_FAILED,
                fails_late,
                ..Behaviour::default()
            };
            let (counts, device) =
                assert_same_while(&source, &config(), behaviour, Unchecked::Decode, &goes_on);
            let batches = u64::from(begun(&device));
            assert!(batches >= 40, "given up after {batches} batches: {counts:?}");
            // A batch is an image here. Two may have been under way when the stream was closed.
            let whole = batches / u64::from(MAX_FAILED);
            assert!((whole - 2..=whole).contains(&counts.hardware), "{batches}: {counts:?}");
            let failed = batches - whole;
            assert!((failed - 2..=failed).contains(&counts.hardware_refused), "{counts:?}");
        }
    });
}

#[test]
fn every_kind_of_image_comes_out_as_on_the_processor() {
    watched(|| {
        const KINDS: [Kind; 7] = [
            Kind::Plain,
            Kind::Progressive,
            Kind::Odd,
            Kind::Corrupt,
            Kind::Cmyk,
            Kind::Rotated,
            Kind::Png,
        ];
        let source = Images::source(80, |number| KINDS[number as usize % KINDS.len()]);
        for (fails_late, apply_exif, oracle) in
            [(false, false, false), (true, true, false), (true, true, true)]
        {
            let behaviour =
                Behaviour { refuses_comments: true, fails_late, oracle, ..Behaviour::default() };
            let mut config = config();
            config.render.apply_exif = apply_exif;
            let (counts, _) = assert_same(&source, &config, behaviour, Unchecked::Decode, 24);
            assert!(counts.cpu > 0 && counts.hybrid > 0 && counts.hybrid_refused > 0);
            assert!(counts.hardware_refused > 0, "{counts:?}");
        }
    });
}

#[test]
fn what_nobody_has_decoded_goes_to_the_processor_unless_it_is_trusted() {
    watched(|| {
        let source = Images::source(40, |_| Kind::Unchecked);
        let behaviour = Behaviour::default();
        // This decoder leaves out what lies to the left of the views and above them; its pixels are the same.
        let mut config = config();
        config.render.decoder = DecoderKind::Baseline;
        let (counts, _) = assert_same(&source, &config, behaviour, Unchecked::Decode, 8);
        assert_eq!(counts.hardware + counts.hybrid, 0);
        assert!(counts.cpu >= 80);
        let (counts, _) = assert_same(&source, &config, behaviour, Unchecked::Trust, 8);
        assert_eq!(counts.cpu, 0);
    });
}

#[test]
fn a_finite_stream_pads_its_last_batch_and_ends() {
    watched(|| {
        let source = Images::source(33, |_| Kind::Plain);
        let config = StreamConfig { mode: StreamMode::Once, ..config() };
        let device = HostDevice::new(Behaviour::default());
        let (mut stream, _) = open(&source, &config, &device, Unchecked::Decode);
        let mut valid = Vec::new();
        while let Some(batch) = take(&mut stream) {
            valid.push(batch.num_valid());
            drop(DeviceBatch::new(batch).unwrap());
        }
        assert_eq!(valid, [10, 10, 10, 3]);
        // A batch that is dropped without its stream costs a wait for the device.
        assert_eq!(device.log.drained.load(SeqCst), 4);
    });
}

#[test]
fn memory_for_two_images_is_enough() {
    watched(|| {
        let source =
            Images::source(70, |number| [Kind::Plain, Kind::Progressive][number as usize % 2]);
        let behaviour = Behaviour { surface_bytes: 14_000, lazy: true, ..Behaviour::default() };
        assert_same(&source, &config(), behaviour, Unchecked::Decode, 20);
    });
}

#[test]
fn an_image_without_room_is_an_error_that_names_the_setting() {
    watched(|| {
        let source = Images::source(20, |_| Kind::Plain);
        let device = HostDevice::new(Behaviour { surface_bytes: 256, ..Behaviour::default() });
        let (mut stream, _) = open(&source, &config(), &device, Unchecked::Decode);
        let error = stream.next_batch().unwrap_err();
        assert!(chain(&error).contains("surface_bytes"), "{}", chain(&error));
    });
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn a_stage_that_panics_or_fails_is_an_error_and_no_hang() {
    watched(|| {
        let source = Images::source(70, |_| Kind::Plain);
        for (behaviour, wanted) in [
            (
                Behaviour { kernels_panic_at: Some(3), ..Behaviour::default() },
                "as they were told to",
            ),
            (
                Behaviour { kernels_fail_at: Some(3), ..Behaviour::default() },
                "CUDA_ERROR_ILLEGAL_ADDRESS (700)",
            ),
        ] {
            let device = HostDevice::new(behaviour);
            let (mut stream, _) = open(&source, &config(), &device, Unchecked::Decode);
            let error = loop {
                match stream.next_batch() {
                    Ok(Next::Batch(batch)) => drop(DeviceBatch::new(batch).unwrap()),
                    Ok(Next::End) => panic!("an endless stream ended"),
                    Err(error) => break error,
                }
            };
            let text = chain(&error);
            assert!(text.contains(AUGMENT_THREAD) && text.contains(wanted), "{text}");
            assert_eq!(chain(&stream.next_batch().unwrap_err()), text, "again at every call");
        }
    });
}

#[test]
fn too_many_bad_samples_stop_the_run() {
    watched(|| {
        let source =
            Images::source(40, |number| if number < 8 { Kind::Corrupt } else { Kind::Plain });
        let mut config = StreamConfig { order: OrderSettings::Sequential, ..config() };
        let text = |config: &StreamConfig| {
            let device = HostDevice::new(Behaviour::default());
            let (mut stream, _) = open(&source, config, &device, Unchecked::Decode);
            chain(&stream.next_batch().unwrap_err())
        };
        // All of the first row group are bad, so there is none to stand in.
        assert!(
            text(&config).contains("none of the 8 samples of row group 0"),
            "{}",
            text(&config)
        );
        config.bad_samples = BadSamplePolicy::FAIL;
        assert!(text(&config).contains("the limit is 0 different samples"), "{}", text(&config));
    });
}

#[test]
fn a_trainer_that_stops_holds_the_stages_still_and_closing_ends_them() {
    watched(|| {
        let source = Images::source(70, |_| Kind::Plain);
        let device = HostDevice::new(Behaviour::default());
        let (mut stream, renderer) = open(&source, &config(), &device, Unchecked::Decode);
        let held = DeviceBatch::new(take(&mut stream).unwrap()).unwrap();
        let seen = || renderer.counts().hardware + renderer.counts().hybrid;
        // Three slots of ten rows: nothing more is decoded before one is given back.
        while seen() < 30 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(seen(), 30);
        stream.seek(5).unwrap();
        let other = DeviceBatch::new(take(&mut stream).unwrap()).unwrap();
        assert_eq!(other.host().step(), 5);
        // A batch outlives the stages that made it, and the stream.
        let before = values(&held, 0).to_vec();
        stream.close().unwrap();
        assert!(values(&held, 0) == before);
    });
}

#[test]
fn slots_of_other_memory_are_refused_in_words() {
    watched(|| {
        let source = Images::source(20, |_| Kind::Plain);
        let device = HostDevice::new(Behaviour::default());
        let renderer = DeviceRenderer::new(device, config().render, Unchecked::Decode, 1);
        let parts = StreamParts {
            memory: Arc::new(smog_pipeline::batch::HeapMemory),
            renderer: Arc::new(renderer),
        };
        let mut stream = BatchStream::open_with(source, config(), Start::Step(0), parts).unwrap();
        let text = chain(&stream.next_batch().unwrap_err());
        assert!(text.contains("the DeviceRing of its renderer"), "{text}");
    });
}

#[test]
fn the_check_of_a_machine_finds_no_difference_here_and_counts_one_that_is_there() {
    watched(|| {
        let source = Images::source(40, |_| Kind::Plain);
        let compare = |spoil: f32| {
            let device = HostDevice::new(Behaviour::default());
            let (mut found, _renderer) = open(&source, &config(), &device, Unchecked::Decode);
            let mut expected =
                BatchStream::open(Arc::clone(&source), config(), Start::Step(0)).unwrap();
            let mut read = |batch: &DeviceBatch, view: usize| {
                let mut values = values(batch, view).to_vec();
                values[0] += spoil;
                Ok(values)
            };
            check::compare(&mut found, &mut expected, 3, TRAINER, &mut read).unwrap()
        };
        let same = compare(0.0);
        assert_eq!((same.other_rows, same.largest, same.mean()), (0, 0.0, 0.0));
        assert!(same.rows > 0 && same.values > 0);
        let spoilt = compare(2.5);
        assert_eq!(spoilt.largest, 2.5);
        assert!(spoilt.mean() > 0.0);
    });
}
