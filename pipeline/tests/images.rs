//! One suite for all decoders: images of every kind (`fixtures/make_fixtures.py`), with the pixels that PIL and
//! libjpeg-turbo read from them, or the reason for which they are refused. docs/IMAGES.md is the table for people.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use smog_pipeline::augment::{CropBox, SamplePlan, ViewPlan};
use smog_pipeline::codec::{DamagePolicy, DecodeLimits, DecoderKind, probe};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{ImageFlags, ImageMeta, RowGroupId};
use smog_pipeline::shard::{ShardOptions, shard};
use smog_pipeline::source::{ParquetSource, Source as _};
use support::{Tool, difference};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    file: String,
    /// File with the expected pixels.
    expected: Option<String>,
    /// Kind of the refusal.
    refused: Option<String>,
    /// Part of its reason.
    reason: Option<String>,
    /// Refused, or filled in to the expected pixels.
    #[serde(default)]
    damaged: bool,
    orientation: Option<u8>,
    /// Format that the flags have to tell; JPEG where there is none.
    flag: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn fixtures() -> Vec<Fixture> {
    let fixtures: Vec<Fixture> = serde_json::from_slice(&read("fixtures.json")).unwrap();
    assert!(fixtures.len() > 80);
    fixtures
}

/// Those that decode, with their bytes and expected pixels.
fn decodable() -> impl Iterator<Item = (Fixture, Vec<u8>, Vec<u8>)> {
    let mut png = Tool::new(DecoderKind::default(), DecodeLimits::default());
    fixtures().into_iter().filter_map(move |fixture| {
        let expected = read(fixture.expected.as_ref()?);
        let pixels = png.probe_and_decode(&expected).unwrap().1.data.clone();
        let encoded = read(&fixture.file);
        Some((fixture, encoded, pixels))
    })
}

fn filling() -> DecodeLimits {
    DecodeLimits { damaged: DamagePolicy::Fill, ..DecodeLimits::default() }
}

/// Largest and mean difference that a decoder's pixels may have from libjpeg-turbo's, in levels.
const ALLOWED: (u8, f64) = (2, 0.5);

#[test]
fn the_reference_reads_every_image_as_pil_does() {
    let mut tool = Tool::new(DecoderKind::TurboJpeg, filling());
    let mut failures = Vec::new();
    for (fixture, encoded, expected) in decodable() {
        match tool.probe_and_decode(&encoded) {
            Err(error) => failures.push(format!("{}: {error}", fixture.file)),
            Ok((meta, pixels)) => {
                let (largest, mean) = difference(&pixels.data, &expected);
                if largest > 0 {
                    println!("{:<30} max {largest:>3}  mean {mean:.3}", fixture.file);
                }
                if largest > 1 {
                    failures.push(format!("{}: {largest}", fixture.file));
                }
                assert_eq!(meta.orientation, fixture.orientation.unwrap_or(1), "{}", fixture.file);
                let format = [("PNG", ImageFlags::PNG), ("WEBP", ImageFlags::WEBP)];
                for (name, flag) in format {
                    let told = fixture.flag.as_deref() == Some(name);
                    assert_eq!(meta.flags.contains(flag), told, "{}", fixture.file);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_decoder_gives_the_pixels_of_the_reference() {
    let mut reference = Tool::new(DecoderKind::TurboJpeg, DecodeLimits::default());
    let mut failures = Vec::new();
    for kind in [DecoderKind::ZuneJpeg, DecoderKind::JpegDecoder] {
        let mut tool = Tool::new(kind, DecodeLimits::default());
        for (fixture, encoded, _) in decodable().filter(|(fixture, ..)| !fixture.damaged) {
            let file = &fixture.file;
            let expected = reference.probe_and_decode(&encoded).unwrap().1;
            match tool.probe_and_decode(&encoded) {
                Ok((_, pixels)) => {
                    let (largest, mean) = difference(&pixels.data, &expected.data);
                    if largest > ALLOWED.0 || mean > ALLOWED.1 {
                        failures.push(format!("{kind} {file}: {largest}, mean {mean:.3}"));
                    }
                }
                Err(error) => failures.push(format!("{kind} {file}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_is_refused_is_refused_by_every_decoder_for_the_same_reason() {
    let good = read("baseline_420.jpg");
    for kind in DecoderKind::ALL {
        // Filling in does not make an image of what is none.
        for limits in [DecodeLimits::default(), filling()] {
            let mut tool = Tool::new(kind, limits);
            for fixture in fixtures() {
                let Some(expected) = &fixture.refused else { continue };
                let error = tool.probe_and_decode(&read(&fixture.file)).unwrap_err();
                assert_eq!(error.kind(), expected, "{kind} {}: {error}", fixture.file);
                let (reason, text) = (fixture.reason.unwrap_or_default(), error.to_string());
                assert!(text.contains(&reason), "{kind} {}: {text}", fixture.file);
                // A worker goes on with the same decoder.
                let next = tool.probe_and_decode(&good).map(|_| ());
                assert_eq!(next, Ok(()), "{kind} after {}", fixture.file);
            }
        }
    }
}

#[test]
fn damaged_images_are_refused_or_filled_in_as_asked() {
    let damaged: Vec<_> = decodable().filter(|(fixture, ..)| fixture.damaged).collect();
    assert!(damaged.len() >= 10);
    for kind in DecoderKind::ALL {
        let mut strict = Tool::new(kind, DecodeLimits::default());
        let mut tool = Tool::new(kind, filling());
        for (fixture, encoded, expected) in &damaged {
            let file = &fixture.file;
            let meta = probe(encoded).unwrap();
            match strict.decode(encoded, &meta) {
                Err(error) => assert_eq!(error.kind(), "damaged", "{kind} {file}"),
                Ok(_) if lenient(kind, file) => {}
                Ok(_) => panic!("{kind} {file} is decoded"),
            }
            assert_eq!(strict.decoder.damage(), None);
            let filled = &tool.decode(encoded, &meta).unwrap().data;
            let (largest, _) = difference(filled, expected);
            if !lenient(kind, file) {
                assert!(largest <= 1, "{kind} {file}: {largest}");
                assert!(tool.decoder.damage().is_some(), "{kind} {file}");
                // A mark in the shard means that somebody accepted the image as it is.
                let flags = meta.flags.with(ImageFlags::DAMAGED);
                let marked = ImageMeta { flags, ..meta };
                assert!(strict.decode(encoded, &marked).is_ok(), "{kind} {file}");
            }
        }
        // The next good image carries no damage.
        tool.probe_and_decode(&read("baseline_444.jpg")).unwrap();
        assert_eq!(tool.decoder.damage(), None);
    }
}

/// Damage that a library does not notice, not even in its strict mode; only libjpeg-turbo finds all of it.
fn lenient(kind: DecoderKind, file: &str) -> bool {
    let closed = file.ends_with("_cut_closed.jpg");
    kind != DecoderKind::TurboJpeg && (closed || file == "restart_wrong.jpg")
}

struct OneView(Vec<u8>);

impl RowViews for OneView {
    fn view(&mut self, _index: usize) -> &mut [u8] {
        &mut self.0
    }
}

#[test]
fn exif_orientation_is_obeyed_as_pil_does_where_it_is_asked_for() {
    const SIDE: usize = 12;
    for apply_exif in [false, true] {
        let settings = RenderSettings { apply_exif, ..RenderSettings::default() };
        let mut renderer = SampleRenderer::new(&settings);
        let mut png = Tool::new(DecoderKind::default(), DecodeLimits::default());
        for tag in 1..=8 {
            let encoded = read(&format!("exif_{tag}.jpg"));
            let meta = probe(&encoded).unwrap();
            let shown = settings.displayed(&meta);
            let (x, y) = ((shown.width as usize - SIDE) / 2, (shown.height as usize - SIDE) / 2);
            let side = SIDE as f64;
            let crop = CropBox { x: x as f64, y: y as f64, width: side, height: side };
            let view = ViewPlan {
                size: SIDE as u32,
                crop,
                flip: false,
                jitter: None,
                gray: false,
                blur: None,
                solarize: None,
            };
            let plan = SamplePlan { views: vec![view] };
            let mut found = OneView(vec![0; 3 * SIDE * SIDE]);
            let timings = &mut RenderTimings::default();
            renderer.render(&encoded, &meta, &plan, &mut found, timings).unwrap();
            let name = if apply_exif { "_shown" } else { "" };
            let expected = read(&format!("expected/exif_{tag}{name}.png"));
            let (_, expected) = png.probe_and_decode(&expected).unwrap();
            assert_eq!((expected.width, expected.height), (shown.width, shown.height));
            let rows = expected.data.chunks_exact(3 * expected.width as usize);
            let expected: Vec<u8> = rows
                .skip(y)
                .take(SIDE)
                .flat_map(|row| &row[3 * x..3 * (x + SIDE)])
                .copied()
                .collect();
            assert_eq!(found.0, expected, "tag {tag}, obeyed: {apply_exif}");
        }
    }
}

/// Shards all fixtures and gives the paths and flags of what was taken.
fn sharded(damaged: DamagePolicy) -> Vec<(String, ImageFlags)> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("src");
    std::fs::create_dir(&source).unwrap();
    // Whatever they are, they are named .JPEG, as ImageNet's PNG and CMYK files are.
    for fixture in fixtures() {
        let name = format!("{}.JPEG", fixture.file.replace('.', "_"));
        std::fs::write(source.join(name), read(&fixture.file)).unwrap();
    }
    let limits = DecodeLimits { damaged, ..DecodeLimits::default() };
    let options = ShardOptions { limits, jobs: 2, ..ShardOptions::default() };
    shard(&source, &dir.path().join("out"), &options, &()).unwrap();
    let source = ParquetSource::open(&dir.path().join("out/train")).unwrap();
    let mut taken = Vec::new();
    for index in 0..source.row_groups().len() {
        let group = source.read(RowGroupId(index as u32)).unwrap();
        taken.extend(group.paths.into_iter().zip(group.metas.iter().map(|meta| meta.flags)));
    }
    taken
}

#[test]
fn shards_take_what_decodes_whatever_it_is_called_and_mark_what_was_filled_in() {
    for damaged in [DamagePolicy::Refuse, DamagePolicy::Fill] {
        let fill = damaged == DamagePolicy::Fill;
        let expected: BTreeSet<(String, bool)> = fixtures()
            .into_iter()
            .filter(|fixture| fixture.expected.is_some() && (fill || !fixture.damaged))
            .map(|fixture| (format!("{}.JPEG", fixture.file.replace('.', "_")), fixture.damaged))
            .collect();
        let taken = sharded(damaged).into_iter();
        let taken: BTreeSet<(String, bool)> =
            taken.map(|(path, flags)| (path, flags.contains(ImageFlags::DAMAGED))).collect();
        assert_eq!(taken, expected);
    }
}
