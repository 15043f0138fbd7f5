//! The rate of each decoder alone.

use smog_cuda::check::{self, DecodeRate, DecodeRates, Machine};

use super::findings::{Finding, judged, measured};
use super::{Check, config, source};

/// Share of the renderer's time that each of them is measured for.
const SHARE_OF_SECONDS: f64 = 0.25;

pub(super) fn check(args: &Check, machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let seconds = SHARE_OF_SECONDS * args.seconds;
    let rates = check::decode_rates(&*source(args)?, &config(args)?, machine, seconds)?;
    Ok(findings(&rates))
}

fn findings(rates: &DecodeRates) -> Vec<Finding> {
    let megapixels = rates.mean_pixels / 1e6;
    let pictures = format!("{} pictures of {megapixels:.2} megapixels", rates.num_pictures);
    let of_workers = |who: &str, rate: DecodeRate| {
        let name = format!("{who}, {} workers, {pictures}", rates.workers);
        one(name, rate)
    };
    let mut found = Vec::new();
    if let Some(rate) = rates.engines {
        let name = format!("JPEG engines alone, batches of {}, {pictures}", rates.max_batch_images);
        found.extend(one(name, rate));
    }
    found.extend(of_workers("hybrid decoders alone", rates.hybrid));
    found.extend(of_workers("the CPU's decoder alone with the copy to the GPU", rates.cpu));
    let over = |rate: DecodeRate| rate.images_per_second / rates.cpu.images_per_second;
    let compared = [
        ("JPEG engines over the CPU's decoder", rates.engines),
        ("hybrid decoders over the CPU's decoder", Some(rates.hybrid)),
    ];
    for (name, rate) in compared {
        if let Some(ratio) = rate.map(over).filter(|ratio| ratio.is_finite()) {
            found.push(measured(name.to_owned(), ratio, "x"));
        }
    }
    found
}

/// The rate, which says nothing where images were refused: all of them were chosen to be taken.
fn one(name: String, rate: DecodeRate) -> Vec<Finding> {
    let verdict = if rate.refused > 0 {
        let count = rate.refused as f64;
        Some(judged(format!("{name}: refused"), count, "images", "0", false))
    } else if rate.images == 0 {
        Some(judged(format!("{name}: images"), 0.0, "", "more than 0", false))
    } else {
        None
    };
    let rate = measured(name, rate.images_per_second, "images/s");
    std::iter::once(rate).chain(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(engines: Option<f64>, refused: u64) -> DecodeRates {
        let rate = |images_per_second| DecodeRate { images_per_second, images: 100, refused: 0 };
        DecodeRates {
            engines: engines.map(rate),
            hybrid: DecodeRate { refused, ..rate(1500.0) },
            cpu: rate(3000.0),
            workers: 16,
            max_batch_images: 56,
            num_pictures: 1024,
            mean_pixels: 187_500.0,
        }
    }

    #[test]
    fn each_decoder_has_its_rate_and_what_it_brings_over_the_cpu() {
        let lines = |rates| -> Vec<String> {
            findings(&rates).iter().map(|finding| finding.line()).collect()
        };
        assert_eq!(
            lines(rates(Some(6000.0), 0)),
            [
                "measured JPEG engines alone, batches of 56, 1024 pictures of 0.19 megapixels: 6000.000 images/s",
                "measured hybrid decoders alone, 16 workers, 1024 pictures of 0.19 megapixels: 1500.000 images/s",
                "measured the CPU's decoder alone with the copy to the GPU, 16 workers, 1024 pictures of 0.19 megapixels: \
                 3000.000 images/s",
                "measured JPEG engines over the CPU's decoder: 2.000 x",
                "measured hybrid decoders over the CPU's decoder: 0.500 x",
            ]
        );
        assert_eq!(lines(rates(None, 0)).len(), 3, "two rates and a ratio");
    }

    #[test]
    fn a_decoder_that_refuses_what_it_should_take_fails() {
        let found = findings(&rates(Some(6000.0), 7));
        let failed: Vec<_> = found.iter().filter(|f| f.passed == Some(false)).collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].name.starts_with("hybrid decoders") && failed[0].value == 7.0);
        let mut nothing = rates(None, 0);
        nothing.hybrid = DecodeRate::default();
        nothing.cpu = DecodeRate::default();
        let found = findings(&nothing);
        assert_eq!(found.iter().filter(|f| f.passed == Some(false)).count(), 2);
        assert_eq!(found.len(), 4, "no ratio over nothing");
    }
}
