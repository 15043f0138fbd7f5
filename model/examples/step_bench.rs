//! One training step, measured on request: our side of `benches/step/bench_step.py`.
//!
//! `step_bench ARCH SIDE BATCH GROUPS THREADS [PRECISION]` makes model and views, then for each line on standard
//! input does that many steps and prints their times as a line of JSON. The group side (assignment, update, loss, and
//! the backward pass of these) is what a step costs with that many groups beyond one with two, behind a network that
//! costs next to nothing.
#![expect(clippy::print_stdout, reason = "a program that talks to another")]

use std::io::BufRead as _;
use std::time::Instant;

use smog_model::{
    Direction, EncoderConfig, GroupsConfig, ModelConfig, ModelError, Optimizer, OptimizerConfig,
    Precision, SmogModel, Stem,
};
use tch::{Device, Kind, Tensor};

/// A model, its optimiser and one batch.
struct Bench {
    model: SmogModel,
    optimizer: Optimizer,
    views: [Tensor; 2],
    step: u64,
}

/// Seconds of each phase of a step.
#[derive(Clone, Copy, Default)]
struct Phases {
    forward: f64,
    backward: f64,
    optimizer: f64,
    momentum: f64,
}

impl Phases {
    fn sum(self) -> f64 {
        self.forward + self.backward + self.optimizer + self.momentum
    }
}

impl Bench {
    fn new(config: &ModelConfig, side: i64, batch: i64) -> Result<Self, ModelError> {
        let model = SmogModel::new(config, 0, Device::Cpu)?;
        let optimizer = Optimizer::new(&OptimizerConfig::default(), model.parameters())?;
        let view = || Tensor::randn([batch, 3, side, side], (Kind::Float, Device::Cpu));
        Ok(Self { model, optimizer, views: [view(), view()], step: 0 })
    }

    fn step(&mut self) -> Phases {
        let clock = |from: &mut Instant| {
            let seconds = from.elapsed().as_secs_f64();
            *from = Instant::now();
            seconds
        };
        let mut now = Instant::now();
        let output = self.model.forward(&self.views, 2, self.step);
        let forward = clock(&mut now);
        self.optimizer.zero_grad(self.model.parameters());
        self.model.backward(&output);
        let backward = clock(&mut now);
        self.optimizer.step(self.model.parameters(), 0.01);
        self.model.update_groups(&output);
        let optimizer = clock(&mut now);
        self.model.update_momentum(0.99);
        self.step += 1;
        Phases { forward, backward, optimizer, momentum: clock(&mut now) }
    }

    /// The median of steps after two that are not counted.
    fn median(&mut self, num_steps: usize) -> f64 {
        (0..2).for_each(|_| _ = self.step());
        let mut seconds: Vec<f64> = (0..num_steps).map(|_| self.step().sum()).collect();
        seconds.sort_by(f64::total_cmp);
        seconds[num_steps / 2]
    }
}

fn config(encoder: EncoderConfig, hidden: i64, groups: i64) -> ModelConfig {
    ModelConfig {
        encoder,
        projector_hidden: hidden,
        predictor_hidden: hidden,
        direction: Direction::Alternate,
        groups: GroupsConfig { count: groups, ..GroupsConfig::default() },
        ..ModelConfig::default()
    }
}

fn group_side(batch: i64, groups: i64) -> Result<f64, ModelError> {
    let encoder = EncoderConfig { width: 4, stem: Stem::Cifar, ..EncoderConfig::default() };
    let median = |groups| -> Result<f64, ModelError> {
        Ok(Bench::new(&config(encoder.clone(), 16, groups), 8, batch)?.median(15))
    };
    Ok(median(groups)? - median(2)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [arch, side, batch, groups, threads, precision @ ..] = args.as_slice() else {
        return Err("expected ARCH SIDE BATCH GROUPS THREADS [PRECISION]".into());
    };
    tch::set_num_threads(threads.parse()?);
    let (side, batch, groups): (i64, i64, i64) = (side.parse()?, batch.parse()?, groups.parse()?);
    let stem = if side >= 64 { Stem::Imagenet } else { Stem::Cifar };
    let arch = serde_json::from_value(serde_json::Value::String(arch.clone()))?;
    let encoder = EncoderConfig { arch, stem, ..EncoderConfig::default() };
    let mut bench = Bench::new(&config(encoder, 2048, groups), side, batch)?;
    let precision = if precision == ["bf16"] { Precision::Bf16 } else { Precision::F32 };
    bench.model.set_precision(precision);
    for line in std::io::stdin().lock().lines() {
        let steps: Vec<Phases> =
            (0..line?.trim().parse::<usize>()?).map(|_| bench.step()).collect();
        let all = |of: fn(&Phases) -> f64| steps.iter().map(of).collect::<Vec<f64>>();
        println!(
            "{}",
            serde_json::json!({
                "seconds": all(|step| step.sum()),
                "forward": all(|step| step.forward),
                "backward": all(|step| step.backward),
                "optimizer": all(|step| step.optimizer),
                "momentum": all(|step| step.momentum),
                "group_side": group_side(batch, groups)?,
            })
        );
    }
    Ok(())
}
