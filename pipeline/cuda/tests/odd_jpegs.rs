//! Routes of unusual, damaged and hostile JPEGs from the test suites of decoders. The archive lies beside the clone, in
//! `../shared/data/odd-jpegs.tar.xz`; `pipeline/tests/odd_jpegs.rs` says more of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use smog_cuda::{CpuReason, Route, Router, Unchecked};
use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};
use smog_pipeline::sample::{ImageFlags, Subsampling};

#[test]
fn odd_jpegs_leave_the_processor_only_where_they_are_plain() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/odd-jpegs.tar.xz");
    if !path.is_file() {
        println!("SKIPPED: {} is absent, so odd JPEGs were NOT routed", path.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unpack = ["-m", "tarfile", "-e"];
    match Command::new("python3").args(unpack).arg(&path).arg(dir.path()).status() {
        Ok(status) if status.success() => {}
        failed => {
            println!("SKIPPED: python3 cannot unpack {} ({failed:?})", path.display());
            return;
        }
    }
    let limits = DecodeLimits::default();
    let router = Router { limits, unchecked: Unchecked::Decode, hardware: true };
    let mut reference = decoder(DecoderKind::TurboJpeg, limits);
    // Of the valid ones the reference refuses two that are cut off within their data.
    for (folder, least, most_unseen) in
        [("valid", [20, 5, 5], 2), ("corrupt", [30, 10, 1000], u32::MAX)]
    {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let (mut found, mut unseen) = ([0; 3], 0);
        for entry in fs::read_dir(dir.path().join("odd-jpegs").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let (name, encoded) = (path.display(), fs::read(&path).unwrap());
            // What no header can be read of never becomes a row; one of any size stands in for it here.
            let probed = probe(&encoded);
            let meta = probed.clone().unwrap_or_else(|_| one_by_one());
            let route = router.route(&encoded, &meta);
            *counts.entry(format!("{route:?}")).or_default() += 1;
            match route {
                Route::Cpu(reason) => {
                    found[2] += 1;
                    assert!(probed.is_ok() || reason == CpuReason::Refused, "{name}: {reason:?}");
                }
                Route::Hybrid => found[1] += 1,
                Route::Hardware => {
                    found[0] += 1;
                    assert!(!meta.progressive && !meta.flags.contains(ImageFlags::SCANS), "{name}");
                    assert!(matches!(meta.components, 1 | 3), "{name}");
                    use Subsampling::{None, S420, S422, S440, S444};
                    assert!([None, S444, S422, S420, S440].contains(&meta.subsampling), "{name}");
                }
            }
            if !matches!(route, Route::Cpu(_)) {
                // It is large enough for what it claims and within the limits.
                let meta = probed.unwrap();
                assert!(u64::from(meta.width) * u64::from(meta.height) <= limits.max_pixels);
                let mut out = Pixels::default();
                let refused = reference.decode(&encoded, &meta, &DecodeRequest::WHOLE, &mut out);
                unseen += u32::from(refused.is_err());
            }
        }
        println!("{folder}: {counts:?}; {unseen} that only a whole decode refuses");
        assert!(unseen <= most_unseen, "{folder}: {unseen}");
        for (found, least) in found.iter().zip(least) {
            assert!(*found >= least, "{folder}: {found} of a route, expected {least}");
        }
    }
}

/// A row for a file that has no header to fill one from.
fn one_by_one() -> smog_pipeline::sample::ImageMeta {
    smog_pipeline::sample::ImageMeta {
        format: smog_pipeline::sample::ImageFormat::Jpeg,
        width: 1,
        height: 1,
        components: 3,
        subsampling: Subsampling::S444,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: 0,
    }
}
