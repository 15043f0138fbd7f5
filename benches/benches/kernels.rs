//! Each kernel of the augmentation by itself, on views of 224 and 96 pixels a side.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use smog_benches::heap;
use smog_pipeline::augment::{CropBox, ViewKernels, ViewPlan};
use smog_pipeline::codec::Pixels;

const SIDES: [u32; 2] = [224, 96];

/// Pixels without a pattern that a branch predictor could learn.
fn noise(width: u32, height: u32) -> Pixels {
    let data = (0..3 * width * height).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8);
    Pixels { width, height, data: data.collect(), scale: 1, ..Pixels::default() }
}

fn plain(size: u32, crop: CropBox) -> ViewPlan {
    ViewPlan { size, crop, flip: false, jitter: None, gray: false, blur: None, solarize: None }
}

/// Crop and resize to finished pixels, from an image of the usual size.
fn crop_resize(criterion: &mut Criterion) {
    let image = noise(468, 401);
    let mut group = criterion.benchmark_group("crop_resize");
    for (name, size, x, y, width, height, flip) in [
        ("224_from_400x300", 224, 20, 30, 400, 300, false),
        ("224_from_400x300_flipped", 224, 20, 30, 400, 300, true),
        ("224_from_180x200", 224, 20, 30, 180, 200, false),
        ("96_from_150x130", 96, 100, 80, 150, 130, false),
        ("96_from_468x401", 96, 0, 0, 468, 401, false),
    ] {
        let [x, y, width, height] = [x, y, width, height].map(f64::from);
        let plan = ViewPlan { flip, ..plain(size, CropBox { x, y, width, height }) };
        let mut kernels = ViewKernels::default();
        let mut view = vec![0; 3 * (size * size) as usize];
        heap(name, || kernels.render(&image, &plan, &mut view));
        group.bench_function(name, |bencher| {
            bencher.iter(|| kernels.render(black_box(&image), &plan, &mut view));
        });
    }
    group.finish();
}

/// Each operation on a view in place.
fn colour(criterion: &mut Criterion) {
    type Operation = fn(&mut ViewKernels);
    let operations: [(&str, Operation); 11] = [
        ("brightness", |kernels| kernels.brightness(0.9)),
        ("contrast", |kernels| kernels.contrast(1.1)),
        ("saturation_less", |kernels| kernels.saturation(0.9)),
        ("saturation_more", |kernels| kernels.saturation(1.1)),
        ("hue", |kernels| kernels.hue(0.07)),
        ("grayscale", ViewKernels::grayscale),
        ("solarize", |kernels| kernels.solarize(128)),
        ("blur_0.3", |kernels| kernels.blur(0.3)),
        ("blur_1.0", |kernels| kernels.blur(1.0)),
        ("blur_2.0", |kernels| kernels.blur(2.0)),
        ("blur_4.0", |kernels| kernels.blur(4.0)),
    ];
    for (name, operation) in operations {
        let mut group = criterion.benchmark_group(name);
        for side in SIDES {
            let mut kernels = ViewKernels::default();
            kernels.load(&noise(side, side).data, side);
            heap(&format!("{name}/{side}"), || operation(&mut kernels));
            group.bench_function(BenchmarkId::from_parameter(side), |bencher| {
                bencher.iter(|| operation(black_box(&mut kernels)));
            });
        }
        group.finish();
    }
}

/// Between rows of RGB8 pixels and the form that the operations work on.
fn layout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layout");
    for side in SIDES {
        let mut view = noise(side, side).data;
        let mut kernels = ViewKernels::default();
        group.bench_function(BenchmarkId::new("load", side), |bencher| {
            bencher.iter(|| kernels.load(black_box(&view), side));
        });
        group.bench_function(BenchmarkId::new("store", side), |bencher| {
            bencher.iter(|| kernels.store(black_box(&mut view)));
        });
    }
    group.finish();
}

criterion_group!(benches, crop_resize, colour, layout);
criterion_main!(benches);
