//! What the groups cost, measured on request: our side of `benches/kmeans/bench_kmeans.py`.
//!
//! `groups_bench kmeans FEATURES GROUPS DISTANCE THREADS OUT` reads `features` from a safetensors file, then for each
//! line on standard input, a seed, clusters them, writes `centroids` to OUT and prints the seconds as a line of JSON.
//!
//! `groups_bench step BATCH GROUPS THREADS` measures for each line that many steps of two views in both directions with
//! that many groups, and as many with two groups, behind a network that costs next to nothing. The difference is the
//! group side: assignment, update, loss and the backward pass of these.
#![expect(clippy::print_stdout, reason = "a program that talks to another")]

use std::io::BufRead as _;
use std::time::Instant;

use smog_model::{
    EncoderConfig, GroupsConfig, KMeansSettings, ModelConfig, ModelError, Optimizer,
    OptimizerConfig, SmogModel, Stem, kmeans,
};
use tch::{Device, Kind, Tensor};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["kmeans", features, groups, distance, threads, out] => {
            tch::set_num_threads(threads.parse()?);
            clustering(features, groups.parse()?, distance, out)
        }
        ["step", batch, groups, threads] => {
            tch::set_num_threads(threads.parse()?);
            steps(batch.parse()?, groups.parse()?)
        }
        _ => Err(
            "expected kmeans FEATURES GROUPS DISTANCE THREADS OUT, or step BATCH GROUPS THREADS"
                .into(),
        ),
    }
}

fn clustering(path: &str, groups: i64, distance: &str, out: &str) -> Result<(), Failure> {
    let features = Tensor::read_safetensors(path)?
        .into_iter()
        .find_map(|(name, tensor)| (name == "features").then_some(tensor))
        .ok_or_else(|| format!("{path} holds no tensor \"features\""))?;
    let distance = serde_json::from_value(serde_json::Value::String(distance.to_owned()))?;
    // As many passes as scikit-learn's default allows, and its rule to stop before; the default of resets is 20.
    let settings = KMeansSettings { distance, passes: 300, ..KMeansSettings::default() };
    for line in std::io::stdin().lock().lines() {
        let seed = line?.trim().parse()?;
        let start = Instant::now();
        let (centroids, report) = kmeans::cluster(&features, groups, &settings, seed, 0)?;
        let seconds = start.elapsed().as_secs_f64();
        Tensor::write_safetensors(&[("centroids", centroids)], out)?;
        println!("{}", serde_json::json!({ "seconds": seconds, "report": report }));
    }
    Ok(())
}

/// A model with a small network, its optimiser and one batch.
struct Bench {
    model: SmogModel,
    optimizer: Optimizer,
    views: [Tensor; 2],
    step: u64,
}

impl Bench {
    fn new(batch: i64, groups: i64) -> Result<Self, ModelError> {
        let config = ModelConfig {
            encoder: EncoderConfig { width: 4, stem: Stem::Cifar, ..EncoderConfig::default() },
            projector_hidden: 16,
            predictor_hidden: 16,
            groups: GroupsConfig { count: groups, ..GroupsConfig::default() },
            ..ModelConfig::default()
        };
        let model = SmogModel::new(&config, 0, Device::Cpu)?;
        let optimizer = Optimizer::new(&OptimizerConfig::default(), model.parameters())?;
        let view = || Tensor::randn([batch, 3, 4, 4], (Kind::Float, Device::Cpu));
        Ok(Self { model, optimizer, views: [view(), view()], step: 0 })
    }

    /// Seconds of forward and backward pass.
    fn step(&mut self) -> f64 {
        let start = Instant::now();
        let output = self.model.forward(&self.views, 2, self.step);
        self.optimizer.zero_grad(self.model.parameters());
        self.model.backward(&output);
        self.model.update_groups(&output);
        self.step += 1;
        start.elapsed().as_secs_f64()
    }
}

fn steps(batch: i64, groups: i64) -> Result<(), Failure> {
    let mut both = [Bench::new(batch, groups)?, Bench::new(batch, 2)?];
    both.iter_mut().for_each(|bench| _ = bench.step());
    for line in std::io::stdin().lock().lines() {
        let rounds: Vec<[f64; 2]> =
            (0..line?.trim().parse::<usize>()?).map(|_| [both[0].step(), both[1].step()]).collect();
        let seconds: Vec<f64> = rounds.iter().map(|[with, without]| with - without).collect();
        let whole: Vec<f64> = rounds.iter().map(|[with, _]| *with).collect();
        println!("{}", serde_json::json!({ "seconds": seconds, "whole": whole }));
    }
    Ok(())
}
