use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::{KMeansDistance, KMeansInit, KMeansSettings, ResetReport};
use crate::error::ModelError;
use crate::golden::{self, pattern};
use crate::groups::{lengths, normalize};

#[derive(Deserialize)]
struct Case {
    name: String,
    num_blobs: i64,
    per_blob: i64,
    dim: i64,
    spread: f64,
    num_groups: i64,
    mean_cosine: f64,
}

fn points(case: &Case) -> Tensor {
    let centers = pattern(&format!("{} centers", case.name), &[case.num_blobs, 1, case.dim]);
    let noise =
        pattern(&format!("{} noise", case.name), &[case.num_blobs, case.per_blob, case.dim]);
    (centers + noise * case.spread).view([-1, case.dim])
}

fn cluster(
    points: &Tensor,
    num_groups: i64,
    settings: &KMeansSettings,
    step: u64,
) -> (Tensor, ResetReport) {
    super::cluster(points, num_groups, settings, 7, step).unwrap()
}

/// Mean cosine of the points to their nearest centroid.
fn quality(points: &Tensor, centroids: &Tensor) -> f64 {
    KMeansDistance::Spherical
        .assign(&normalize(points), centroids)
        .0
        .mean(Kind::Double)
        .double_value(&[])
}

#[test]
fn clusters_are_as_tight_as_scikit_learn_s() {
    for case in golden::read::<Vec<Case>>("kmeans") {
        let points = points(&case);
        let (centroids, report) = cluster(&points, case.num_groups, &KMeansSettings::default(), 0);
        assert_eq!(centroids.size(), [case.num_groups, case.dim]);
        assert!((lengths(&centroids) - 1.0).abs().max().double_value(&[]) < 1e-5);
        // Inertia of unit vectors is 2 - 2 cosine; scikit-learn's is the best of ten starts.
        let found = 1.0 - quality(&points, &centroids);
        let best = 1.0 - case.mean_cosine;
        assert!(found < 1.02 * best, "{}: {found} against {best}, {report:?}", case.name);
        assert!(report.smallest > 0 && report.num_passes > 1, "{report:?}");
        assert_eq!(report.num_reseeded, 0, "a start on distinct points leaves none empty");
    }
}

#[test]
fn the_same_key_gives_the_same_clusters_and_another_step_another_start() {
    let case = &golden::read::<Vec<Case>>("kmeans")[1];
    let points = points(case);
    for init in [KMeansInit::PlusPlus, KMeansInit::Random] {
        let settings = KMeansSettings { init, ..KMeansSettings::default() };
        let (first, report) = cluster(&points, 20, &settings, 300);
        assert_eq!((first.copy(), report), cluster(&points, 20, &settings, 300));
        assert_ne!(first, cluster(&points, 20, &settings, 600).0);
    }
}

#[test]
fn no_more_points_than_wanted_are_drawn() {
    let case = &golden::read::<Vec<Case>>("kmeans")[0];
    let points = points(case);
    let settings = KMeansSettings { max_points_per_group: 10, ..KMeansSettings::default() };
    let (centroids, report) = cluster(&points, 12, &settings, 0);
    assert_eq!((report.num_features, report.num_clustered), (600, 120));
    assert!(quality(&points, &centroids) > 0.97);
}

#[test]
fn empty_clusters_are_seeded_from_the_largest() {
    // A random start on few distinct directions leaves clusters empty at first.
    let many = pattern("cloud", &[400, 3]) * 0.4 + Tensor::from_slice(&[1f32, 0.0, 0.0]);
    let few = Tensor::from_slice(&[-1f32, 0.0, 0.0]).expand([100, 3], false);
    let points = Tensor::cat(&[many, few], 0);
    let settings = KMeansSettings { init: KMeansInit::Random, ..KMeansSettings::default() };
    let (centroids, report) = cluster(&points, 30, &settings, 0);
    assert!(report.num_reseeded > 0, "{report:?}");
    assert!(report.smallest > 0, "{report:?}");
    assert!(quality(&points, &centroids) > 0.99);
}

#[test]
fn equal_points_end_without_an_error() {
    let points = Tensor::ones([50, 4], (Kind::Float, Device::Cpu));
    for init in [KMeansInit::PlusPlus, KMeansInit::Random] {
        let settings = KMeansSettings { init, ..KMeansSettings::default() };
        let (centroids, report) = cluster(&points, 6, &settings, 0);
        assert_eq!(centroids.isfinite().all().int64_value(&[]), 1);
        assert_eq!(report.largest, 50);
    }
}

#[test]
fn as_many_groups_as_points_puts_one_on_each() {
    let points = pattern("cloud", &[9, 4]);
    let (centroids, report) = cluster(&points, 9, &KMeansSettings::default(), 0);
    assert_eq!((report.smallest, report.largest), (1, 1));
    assert!(quality(&points, &centroids) > 1.0 - 1e-6);
}

#[test]
fn too_few_or_broken_features_are_errors_with_numbers() {
    let points = pattern("cloud", &[9, 4]);
    let settings = KMeansSettings::default();
    let error = super::cluster(&points, 10, &settings, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "9 features are not enough to make 10 groups");
    let broken = &points / 0.0 * 0.0;
    let error = super::cluster(&broken, 3, &settings, 0, 0).unwrap_err();
    assert!(matches!(error, ModelError::NotFinite { .. }), "{error}");
    let settings = KMeansSettings { passes: 0, ..settings };
    assert!(matches!(super::cluster(&points, 3, &settings, 0, 0), Err(ModelError::Config { .. })));
}

#[test]
fn euclidean_clusters_tell_lengths_apart_and_spherical_ones_do_not() {
    let direction = Tensor::from_slice(&[1f32, 0.0, 0.0]);
    let noise = |name: &str| pattern(name, &[60, 3]) * 0.05;
    let points = Tensor::cat(&[&direction + noise("short"), &direction * 9.0 + noise("long")], 0);
    let with = |distance| KMeansSettings { distance, ..KMeansSettings::default() };
    let (centroids, report) = cluster(&points, 2, &with(KMeansDistance::Euclidean), 0);
    assert_eq!((report.smallest, report.largest), (60, 60));
    let mut means = Vec::<f32>::try_from(lengths(&centroids)).unwrap();
    means.sort_by(f32::total_cmp);
    assert!((means[0] - 1.0).abs() < 0.05 && (means[1] - 9.0).abs() < 0.05, "{means:?}");
    let short = points.narrow(0, 0, 60);
    let long = points.narrow(0, 60, 60);
    let spread = |x: &Tensor| {
        (x - x.mean_dim([0i64].as_slice(), true, Kind::Float)).square().sum(Kind::Double)
    };
    let inertia = (spread(&short) + spread(&long)).double_value(&[]);
    assert!((report.inertia / inertia - 1.0).abs() < 1e-3, "{} {inertia}", report.inertia);
    let (_, report) = cluster(&points, 2, &with(KMeansDistance::Spherical), 0);
    assert_ne!((report.smallest, report.largest), (60, 60), "lengths count for nothing");
    let cosine = report.mean_cosine;
    assert!((report.inertia / 240.0 - (1.0 - cosine)).abs() < 1e-4, "{report:?}");
}

#[test]
fn a_tolerance_ends_the_passes_sooner() {
    let case = &golden::read::<Vec<Case>>("kmeans")[1];
    let passes = |tolerance| {
        let settings = KMeansSettings { tolerance, passes: 100, ..KMeansSettings::default() };
        cluster(&points(case), 20, &settings, 0).1.num_passes
    };
    assert!(passes(0.0) > passes(0.05));
    assert_eq!(passes(1e9), 2);
}

#[test]
fn features_without_spread_give_whole_centroids_in_both_distances() {
    let alike = Tensor::ones([40, 6], (Kind::Float, Device::Cpu)) * 3.0;
    for (distance, length) in
        [(KMeansDistance::Spherical, 1.0), (KMeansDistance::Euclidean, 3.0 * 6f64.sqrt())]
    {
        let settings = KMeansSettings { distance, ..KMeansSettings::default() };
        let (centroids, report) = cluster(&alike, 5, &settings, 0);
        let off = (lengths(&centroids) / length - 1.0).abs().max().double_value(&[]);
        assert!(off < 0.1, "{distance:?}: {off}");
        assert!(report.mean_cosine > 0.99 && report.num_passes <= settings.passes, "{report:?}");
        assert!(report.feature_spread.abs() < 1e-9, "{report:?}");
    }
}
