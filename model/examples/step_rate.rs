//! Measures training steps, encoding, a group reset and k-NN on random input:
//! `cargo run --release -p smog-model --example step_rate -- [threads]`.
#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

use std::time::Instant;

use smog_model::knn::{KnnSettings, Neighbours};
use smog_model::optim::OptimizerConfig;
use smog_model::{
    Arch, Direction, EncoderConfig, FeatureMemory, KMeansSettings, ModelConfig, ModelError,
    Optimizer, SmogModel, Stem,
};
use tch::{Device, Kind, Tensor};

const REPEATS: u64 = 3;

fn main() -> Result<(), ModelError> {
    if let Some(threads) = std::env::args().nth(1).and_then(|text| text.parse().ok()) {
        tch::set_num_threads(threads);
    }
    println!("{} threads; best of {REPEATS}", tch::get_num_threads());
    for (arch, width, batch, direction) in [
        (Arch::Resnet18, 16, 128, Direction::Both),
        (Arch::Resnet18, 16, 128, Direction::Alternate),
        (Arch::Resnet18, 32, 128, Direction::Both),
        (Arch::Resnet18, 64, 64, Direction::Both),
    ] {
        steps(arch, width, batch, direction)?;
    }
    clustering(300, 76_800)?;
    neighbours()
}

/// Seconds of the quickest of a few calls.
fn best(mut body: impl FnMut(u64)) -> f64 {
    (0..REPEATS)
        .map(|step| {
            let start = Instant::now();
            body(step);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

fn steps(arch: Arch, width: i64, batch: i64, direction: Direction) -> Result<(), ModelError> {
    let config = ModelConfig {
        encoder: EncoderConfig { arch, stem: Stem::Cifar, width, ..EncoderConfig::default() },
        direction,
        ..ModelConfig::default()
    };
    let mut model = SmogModel::new(&config, 0, Device::Cpu)?;
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), model.parameters())?;
    let views = [random(&[batch, 3, 32, 32]), random(&[batch, 3, 32, 32])];
    let mut phases = [0.0; 3];
    let seconds = best(|step| {
        let start = Instant::now();
        let output = model.forward(&views, 2, step);
        phases[0] = start.elapsed().as_secs_f64();
        optimizer.zero_grad(model.parameters());
        model.backward(&output);
        phases[1] = start.elapsed().as_secs_f64() - phases[0];
        optimizer.step(model.parameters(), 0.01);
        model.update_groups(&output);
        model.update_momentum(0.99);
        phases[2] = start.elapsed().as_secs_f64() - phases[0] - phases[1];
    });
    let encode = best(|_| drop(model.encode(&views[0])));
    println!(
        "{arch} width {width}, 2 x 32 px, batch {batch}, {direction}: step {seconds:.3} s = {:.0} \
         pictures/s (last: forward {:.3}, backward {:.3}, updates {:.3}); encode {:.0} pictures/s",
        batch as f64 / seconds,
        phases[0],
        phases[1],
        phases[2],
        batch as f64 / encode,
    );
    Ok(())
}

fn clustering(num_groups: i64, num_features: i64) -> Result<(), ModelError> {
    let mut config = ModelConfig::default();
    config.encoder.width = 8;
    config.groups.count = num_groups;
    let mut model = SmogModel::new(&config, 0, Device::Cpu)?;
    let mut memory = FeatureMemory::new(num_features, config.dim, Device::Cpu)?;
    memory.push(&random(&[num_features, config.dim]));
    let start = Instant::now();
    let report = model.reset_groups(&memory, &KMeansSettings::default(), 0, 0)?;
    println!("reset: {:.2} s, {report:?}", start.elapsed().as_secs_f64());
    Ok(())
}

fn neighbours() -> Result<(), ModelError> {
    let (bank, queries) = (random(&[50_000, 512]), random(&[10_000, 512]));
    let labels = Tensor::randint(10, [50_000], (Kind::Int64, Device::Cpu));
    let start = Instant::now();
    let settings = KnnSettings { neighbours: 200, ..KnnSettings::default() };
    let _ = Neighbours::search(&bank, &labels, &queries, 10, &settings)?.classify(200, 0.1)?;
    println!("k-NN of 10,000 in 50,000 x 512: {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
