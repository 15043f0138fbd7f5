//! The measuring of each decoder alone, on the device that is memory of the processor.

use crate::check::decoders::{DecodeRates, Picture, Times, rates_on};

use super::*;

const TIMES: Times =
    Times { warm_up: Duration::from_millis(20), measured: Duration::from_millis(120) };

fn rates(kind: impl Fn(u32) -> Kind, behaviour: Behaviour) -> (DecodeRates, Arc<HostDevice>) {
    let device = HostDevice::new(behaviour);
    let pictures: Vec<_> = (0..40)
        .map(|number| image(number, kind(number)))
        .map(|(encoded, meta)| Picture { encoded, meta })
        .collect();
    let found = rates_on(&*device, &pictures, &config().render, WORKERS, TIMES).unwrap();
    (found, device)
}

#[test]
fn each_decoder_is_measured_with_the_same_images() {
    watched(|| {
        let (found, device) = rates(|_| Kind::Plain, Behaviour::default());
        let engines = found.engines.expect("there are engines");
        for rate in [engines, found.hybrid, found.cpu] {
            assert!(rate.images_per_second > 0.0 && rate.images > 0, "{found:?}");
            assert_eq!(rate.refused, 0, "{found:?}");
        }
        assert_eq!((found.workers, found.max_batch_images, found.num_pictures), (3, 4, 40));
        assert!(found.mean_pixels > 24.0 * 24.0 && found.mean_pixels < 54.0 * 40.0, "{found:?}");
        // Two batches of four at once, as the renderer does it.
        let log = &device.log;
        assert_eq!(log.most_busy.load(SeqCst), 2);
        assert!(engines.images <= 4 * u64::from(log.batches.load(SeqCst)), "{found:?}");
        // All surfaces came back.
        device.surfaces().reap().unwrap();
        assert_eq!(device.surfaces().usage().held_bytes, 0);
    });
}

#[test]
fn a_decoder_is_as_fast_as_its_images_are_done() {
    watched(|| {
        let (batch_takes, image_takes) = (Duration::from_millis(4), Duration::from_millis(2));
        let behaviour = Behaviour { batch_takes, image_takes, ..Behaviour::default() };
        let (found, _) = rates(|_| Kind::Plain, behaviour);
        let engines = found.engines.expect("there are engines");
        // Four images in 4 ms; three in 2 ms, and a few at the ends of the time.
        assert!(engines.images_per_second <= 1000.0 && engines.images > 0, "{engines:?}");
        for rate in [found.hybrid, found.cpu] {
            assert!(rate.images_per_second <= 1700.0, "{rate:?}");
            assert!(rate.images > 0, "{rate:?}");
        }
    });
}

#[test]
fn without_engines_none_are_measured() {
    watched(|| {
        let (found, device) =
            rates(|_| Kind::Plain, Behaviour { engines: None, ..Behaviour::default() });
        assert_eq!((found.engines, device.log.batches.load(SeqCst)), (None, 0));
        assert!(found.hybrid.images > 0 && found.cpu.images > 0);
    });
}

#[test]
fn refused_images_count_for_nobody() {
    watched(|| {
        for fails_late in [false, true] {
            let behaviour =
                Behaviour { refuses_comments: true, fails_late, ..Behaviour::default() };
            let (found, _) = rates(|_| Kind::Odd, behaviour);
            let engines = found.engines.expect("there are engines");
            for rate in [engines, found.hybrid] {
                assert_eq!((rate.images, rate.images_per_second), (0, 0.0), "{found:?}");
                assert!(rate.refused > 0, "{found:?}");
            }
            assert!(found.cpu.images > 0 && found.cpu.refused == 0, "{found:?}");
        }
    });
}
