//! The keyed generator against an independent ChaCha8 (`golden/make_draw_golden.py`).

use serde::Deserialize;
use smog_pipeline::draw::{Domain, Draw};

#[derive(Deserialize)]
struct Case {
    seed: u64,
    domain: u32,
    key: [u32; 5],
    bits32: Vec<u32>,
    unit: Vec<f64>,
    below_1000: Vec<u32>,
    shuffle_12: Vec<u32>,
}

fn cases() -> Vec<(Case, Domain)> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/draw.json"))
        .expect("the golden file is valid JSON");
    cases
        .into_iter()
        .map(|case| {
            let domain = match case.domain {
                2 => Domain::GroupOrder,
                4 => Domain::View,
                other => panic!("no domain {other} in the golden file"),
            };
            (case, domain)
        })
        .collect()
}

#[test]
fn draws_equal_those_of_an_independent_chacha8() {
    for (case, domain) in cases() {
        let fresh = || Draw::new(case.seed, domain, case.key);
        let mut draw = fresh();
        let bits: Vec<u32> = (0..case.bits32.len()).map(|_| draw.bits32()).collect();
        assert_eq!(bits, case.bits32);
        let mut draw = fresh();
        let units: Vec<f64> = (0..case.unit.len()).map(|_| draw.unit()).collect();
        assert_eq!(units, case.unit);
        let mut draw = fresh();
        let ints: Vec<u32> = (0..case.below_1000.len()).map(|_| draw.below(1000)).collect();
        assert_eq!(ints, case.below_1000);
        let mut items: Vec<u32> = (0..12).collect();
        fresh().shuffle(&mut items);
        assert_eq!(items, case.shuffle_12);
    }
}

#[test]
fn every_part_of_the_key_changes_the_stream() {
    let first = |seed, domain, key| Draw::new(seed, domain, key).bits64();
    let base = first(1, Domain::View, [1, 2, 3, 4, 5]);
    assert_ne!(base, first(2, Domain::View, [1, 2, 3, 4, 5]));
    assert_ne!(base, first(1, Domain::Shard, [1, 2, 3, 4, 5]));
    for word in 0..5 {
        let mut key = [1, 2, 3, 4, 5];
        key[word] += 1;
        assert_ne!(base, first(1, Domain::View, key), "word {word} is not part of the key");
    }
}

#[test]
fn normals_have_mean_zero_and_variance_one() {
    let mut draw = Draw::new(9, Domain::Weights, [0; 5]);
    let values: Vec<f64> = (0..20_000).map(|_| draw.normal()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!(mean.abs() < 0.03, "mean {mean}");
    assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
    assert!(values.iter().all(|value| value.is_finite()));
}
