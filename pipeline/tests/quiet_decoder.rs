//! `jpeg-decoder` may start threads for each image or fill the global rayon pool (architecture.md, section 8);
//! here it must do neither. In a file of its own: it counts the threads of the process.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jpeg_encoder::{ColorType, Encoder};
use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};

fn num_threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn a_decoder_adds_at_most_one_thread_however_many_images_it_decodes() {
    let pixels: Vec<u8> = (0..640 * 480 * 3).map(|index| (index / 7) as u8).collect();
    let mut encoded = Vec::new();
    Encoder::new(&mut encoded, 90).encode(&pixels, 640, 480, ColorType::Rgb).expect("encodes");
    let meta = probe(&encoded).expect("a JPEG");
    for kind in DecoderKind::ALL {
        let added = usize::from(kind == DecoderKind::JpegDecoder);
        let (stop, most) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut before = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(num_threads(), Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
            before = num_threads(); // with the thread that watches
            let mut decoder = decoder(kind, DecodeLimits::default());
            let mut out = Pixels::default();
            for _ in 0..30 {
                decoder.decode(&encoded, &meta, &DecodeRequest::WHOLE, &mut out).expect("decodes");
            }
            stop.store(true, Ordering::Relaxed);
        });
        let most = most.load(Ordering::Relaxed);
        assert!(most <= before + added, "{kind}: {most} threads, {before} before");
    }
}
