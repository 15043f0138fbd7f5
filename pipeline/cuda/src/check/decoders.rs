//! Each decoder by itself: how many images of one set the JPEG engines, the hybrid decoders and the processor bring to
//! surfaces in a second. Batches, workers and waits are the renderer's; nobody else is at work meanwhile.

mod clock;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use smog_pipeline::codec::{DecodeRequest, Pixels, decoder};
use smog_pipeline::render::sample::RenderSettings;
use smog_pipeline::sample::{ImageMeta, RowGroupId};
use smog_pipeline::source::Source;
use smog_pipeline::stream::StreamConfig;

pub(crate) use clock::Times;
use clock::{Clock, rate};

use super::{CheckError, Machine, options};
use crate::CudaError;
use crate::kernels::{Normalize, PixelKind, Surface};
use crate::nvjpeg::{Begun, LEAST_SIDE};
use crate::renderer::{self, BatchDecoder, Device};
use crate::route::{Route, Router, Unchecked};
use crate::surfaces::{SurfaceLease, Surfaces};

/// Images that are gone round in: more than fit into any cache.
const MAX_PICTURES: usize = 1024;
/// Images that are looked at for them.
const MAX_LOOKED_AT: u32 = 4096;

/// What a decoder does alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DecodeRate {
    /// Images per second that came to lie on a surface.
    pub images_per_second: f64,
    /// Images that did, while it was measured.
    pub images: u64,
    /// Images that were refused, from the start.
    pub refused: u64,
}

/// What each of them does with the same images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodeRates {
    /// The JPEG engines; `None` where there are none.
    pub engines: Option<DecodeRate>,
    /// The hybrid decoders, one per worker.
    pub hybrid: DecodeRate,
    /// The processor's decoder on as many threads, with the copy to the device.
    pub cpu: DecodeRate,
    /// Threads of the latter two.
    pub workers: u32,
    /// Most images in a batch of the engines.
    pub max_batch_images: u32,
    /// Different images.
    pub num_pictures: usize,
    /// Their mean size.
    pub mean_pixels: f64,
}

/// An image that all of them take.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) encoded: Vec<u8>,
    pub(crate) meta: ImageMeta,
}

/// Measures each decoder for `seconds`, with images from the begin of `source`, on a device that does nothing else.
///
/// # Errors
/// If the device lacks something, the data cannot be read, or none of the images is for all decoders.
pub fn decode_rates(
    source: &dyn Source,
    config: &StreamConfig,
    machine: &Machine,
    seconds: f64,
) -> Result<DecodeRates, CheckError> {
    let normalize = Normalize { scale: [1.0 / 255.0; 3], shift: [0.0; 3] };
    let options = options(config, machine, PixelKind::Bf16, normalize);
    let device = renderer::open(&config.render, &options)?;
    let pictures = pictures(source, &config.render)?;
    let measured = Duration::from_secs_f64(seconds);
    let times = Times { warm_up: measured / 4, measured };
    Ok(rates_on(&*device, &pictures, &config.render, config.resolved_workers(), times)?)
}

/// Images of the source that are for all decoders.
fn pictures(source: &dyn Source, settings: &RenderSettings) -> Result<Vec<Picture>, CheckError> {
    // Whoever measures wants the engines to have them, checked or not.
    let router = Router { limits: settings.limits, unchecked: Unchecked::Trust, hardware: true };
    let (mut pictures, mut looked_at) = (Vec::new(), 0);
    for id in 0..source.row_groups().len() as u32 {
        let group = source.read(RowGroupId(id))?;
        for (row, meta) in (0..).zip(&group.metas) {
            if pictures.len() == MAX_PICTURES || looked_at == MAX_LOOKED_AT {
                break;
            }
            looked_at += 1;
            let encoded = group.encoded(row);
            let is_large = meta.width.min(meta.height) >= LEAST_SIDE;
            if is_large && router.route(encoded, meta) == Route::Hardware {
                pictures.push(Picture { encoded: encoded.to_vec(), meta: *meta });
            }
        }
        if pictures.len() == MAX_PICTURES || looked_at == MAX_LOOKED_AT {
            break;
        }
    }
    if pictures.is_empty() { Err(CheckError::NoPictures { looked_at }) } else { Ok(pictures) }
}

/// Measures the decoders of a device of any kind, one after the other.
pub(crate) fn rates_on(
    device: &dyn Device,
    pictures: &[Picture],
    settings: &RenderSettings,
    workers: u32,
    times: Times,
) -> Result<DecodeRates, CudaError> {
    let engines = match device.batch_decoder()? {
        Some(mut decoder) => Some(by_engines(&mut *decoder, device.surfaces(), pictures, times)?),
        None => None,
    };
    let hybrid = by_threads(pictures, workers, times, &|| {
        let mut decoder = device.decoder()?;
        Ok(Box::new(move |picture: &Picture| {
            let surface = place(device.surfaces(), picture.meta.width, picture.meta.height)?;
            decoder.decode(&picture.encoded, surface.surface())
        }))
    })?;
    let cpu = by_threads(pictures, workers, times, &|| {
        let mut to_device = device.decoder()?;
        let mut decoder = decoder(settings.decoder, settings.limits);
        let mut pixels = Pixels::default();
        Ok(Box::new(move |picture: &Picture| {
            let Picture { encoded, meta } = picture;
            if decoder.decode(encoded, meta, &DecodeRequest::WHOLE, &mut pixels).is_err() {
                return Ok(false);
            }
            let surface = place(device.surfaces(), pixels.width, pixels.height)?;
            to_device.upload(&pixels.data, surface.surface())?;
            Ok(true)
        }))
    })?;
    let area = |meta: &ImageMeta| f64::from(meta.width) * f64::from(meta.height);
    let all: f64 = pictures.iter().map(|picture| area(&picture.meta)).sum();
    Ok(DecodeRates {
        engines,
        hybrid,
        cpu,
        workers,
        max_batch_images: device.max_batch_images(),
        num_pictures: pictures.len(),
        mean_pixels: all / pictures.len().max(1) as f64,
    })
}

/// Room for an image. Nothing reads what lies there, so it is free as soon as its decoder has done with it.
fn place(surfaces: &Arc<Surfaces>, width: u32, height: u32) -> Result<SurfaceLease, CudaError> {
    while surfaces.fits(width, height) {
        if let Some(surface) = surfaces.try_allocate(width, height)? {
            return Ok(surface);
        }
        // A thread was held up with an image, and the others have gone round.
        std::thread::yield_now();
    }
    Err(CudaError::Options {
        key: "surface_bytes",
        value: "the memory for decoded images".to_owned(),
        expected: format!("room for an image of {width}x{height} pixels"),
    })
}

/// As the thread of the engines does it: while one batch is under way the next is put together and begun behind it, and
/// surfaces are given back when the host has seen the end of their batch.
fn by_engines(
    decoder: &mut dyn BatchDecoder,
    surfaces: &Arc<Surfaces>,
    pictures: &[Picture],
    times: Times,
) -> Result<DecodeRate, CudaError> {
    /// Batches under way at once.
    const MAX_BUSY: usize = 2;
    let mut clock = Clock::new(times);
    let mut next = pictures.iter().cycle();
    let mut busy: VecDeque<Vec<SurfaceLease>> = VecDeque::new();
    let mut refused = 0;
    while !clock.is_over() {
        let mut batch = Vec::new();
        let mut bytes = 0;
        // Where the engines take none of the images, there is an end, too.
        for picture in next.by_ref().take(pictures.len().max(decoder.max_images())) {
            let ImageMeta { width, height, .. } = picture.meta;
            if !decoder.takes(&picture.encoded, width, height)? {
                refused += 1;
                continue;
            }
            bytes += picture.encoded.len();
            if bytes > decoder.max_bytes() {
                break;
            }
            let Some(surface) = surfaces.try_allocate(width, height)? else { break };
            batch.push((picture, surface));
            if batch.len() == decoder.max_images() {
                break;
            }
        }
        batch.sort_by_key(|(picture, _)| Reverse(picture.encoded.len()));
        let images: Vec<(&[u8], Surface)> = batch
            .iter()
            .map(|(picture, surface)| (&picture.encoded[..], *surface.surface()))
            .collect();
        if !images.is_empty() {
            match decoder.begin(&images)? {
                Begun::UnderWay => {
                    busy.push_back(batch.into_iter().map(|(_, surface)| surface).collect());
                }
                Begun::Refused(_) => {
                    clock.ended(0);
                    refused += images.len() as u64;
                }
            }
        } else if busy.is_empty() {
            // Nothing can be decoded and nothing comes free.
            break;
        }
        if images.is_empty() || busy.len() == MAX_BUSY {
            refused += finish(decoder, &mut busy, &mut clock)?;
        }
    }
    while !busy.is_empty() {
        finish(decoder, &mut busy, &mut Clock::new(times))?;
    }
    Ok(DecodeRate { refused, ..clock.rate() })
}

/// Waits for the oldest batch, counts its images, and gives its surfaces back. Says how many of them were refused.
fn finish(
    decoder: &mut dyn BatchDecoder,
    busy: &mut VecDeque<Vec<SurfaceLease>>,
    clock: &mut Clock,
) -> Result<u64, CudaError> {
    let whole = decoder.finish()?;
    let images = busy.pop_front().map_or(0, |surfaces| surfaces.len() as u64);
    clock.ended(if whole { images } else { 0 });
    Ok(if whole { 0 } else { images })
}

/// Decodes an image; false where it is refused.
type Decode<'a> = Box<dyn FnMut(&Picture) -> Result<bool, CudaError> + Send + 'a>;

/// `workers` threads, each with what `make` makes for it, go round in the images, each from another start.
fn by_threads<'a>(
    pictures: &[Picture],
    workers: u32,
    times: Times,
    make: &dyn Fn() -> Result<Decode<'a>, CudaError>,
) -> Result<DecodeRate, CudaError> {
    let (done, refused, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let decoders = (0..workers).map(|_| make()).collect::<Result<Vec<_>, _>>()?;
    let one = |worker: usize, mut decode: Decode<'a>| -> Result<(), CudaError> {
        for picture in pictures.iter().cycle().skip(worker * 37) {
            if stop.load(Relaxed) {
                break;
            }
            let count = if decode(picture)? { &done } else { &refused };
            count.fetch_add(1, Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = decoders
            .into_iter()
            .enumerate()
            .map(|(worker, decode)| scope.spawn(move || one(worker, decode)))
            .collect();
        std::thread::sleep(times.warm_up);
        // The counts are read within the time: a stop between the two readings must not make a rate that nobody has.
        let from = Instant::now();
        let (before, refused_before) = (done.load(Relaxed), refused.load(Relaxed));
        std::thread::sleep(times.measured);
        while done.load(Relaxed) == before
            && refused.load(Relaxed) == refused_before
            && threads.iter().any(|thread| !thread.is_finished())
        {
            // Longer than asked for, rather than a rate of nothing.
            std::thread::sleep(Duration::from_millis(1));
        }
        let (after, seconds) = (done.load(Relaxed), from.elapsed().as_secs_f64());
        stop.store(true, Relaxed);
        for thread in threads {
            // A panic goes on here.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(rate(after - before, seconds, refused.load(Relaxed)))
    })
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};
    use smog_pipeline::source::{MemorySource, SyntheticSource};

    use super::*;

    fn jpeg(is_progressive: bool) -> Vec<u8> {
        let mut encoded = Vec::new();
        let mut encoder = Encoder::new(&mut encoded, 90);
        encoder.set_progressive(is_progressive);
        encoder.encode(&[90; 3 * 80 * 64], 80, 64, ColorType::Rgb).unwrap();
        encoded
    }

    fn tiny() -> Vec<u8> {
        let mut encoded = Vec::new();
        let encoder = Encoder::new(&mut encoded, 90);
        encoder.encode(&[90; 3 * 80 * 63], 80, 63, ColorType::Rgb).unwrap();
        encoded
    }

    #[test]
    fn only_images_that_all_decoders_take_are_measured_with() {
        let images = [jpeg(false), jpeg(true), jpeg(false), jpeg(true), jpeg(true)];
        let settings = RenderSettings::default();
        let found = pictures(&MemorySource::new(&images, 2).unwrap(), &settings).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|picture| !picture.meta.progressive));
        let none = MemorySource::new(&images[3..], 2).unwrap();
        let error = pictures(&none, &settings).unwrap_err().to_string();
        assert!(error.starts_with("none of the first 2 images"), "{error}");
        let small = MemorySource::new(&[tiny()], 1).unwrap();
        assert!(pictures(&small, &settings).is_err(), "the engines are not asked for it");
        let many = SyntheticSource::new(3000, 100, 64, 0);
        assert_eq!(pictures(&many, &settings).unwrap().len(), MAX_PICTURES);
    }
}
