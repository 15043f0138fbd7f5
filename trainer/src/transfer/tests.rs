use std::sync::Arc;

use smog_pipeline::augment::Recipe;
use smog_pipeline::runtime::TRANSFER;
use smog_pipeline::source::SyntheticSource;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig};

use super::*;

const ROWS: u32 = 4;

fn recipe() -> Recipe {
    let mut recipe = Recipe::smog();
    for (view, size) in recipe.views.iter_mut().zip([24, 16]) {
        view.size = size;
    }
    recipe
}

fn stream(num_slots: u32) -> BatchStream {
    let source = Arc::new(SyntheticSource::new(40, 8, 32, 1));
    let config = StreamConfig { num_slots, workers: 1, ..StreamConfig::new(recipe(), ROWS) };
    BatchStream::open(source, config, Start::Step(0)).unwrap()
}

fn next(stream: &mut BatchStream) -> HostBatch {
    match stream.next_batch().unwrap() {
        Next::Batch(batch) => batch,
        Next::End => panic!("an endless stream ended"),
    }
}

fn shape() -> BatchShape {
    BatchShape { rows: ROWS, view_sizes: recipe().view_sizes() }
}

/// The way of a GPU, with two landings, gives to the bit what a plain copy gives, batch after batch; each slot comes back,
/// or the stream of two slots would stand still.
#[test]
fn views_that_land_are_those_of_a_plain_copy_and_every_slot_comes_back() {
    let device = Device::Cpu;
    let normalizer = Normalizer::new(device).unwrap();
    for num_landings in [1, 2] {
        let mut transfer = Transfer::with_landings(device, &shape(), num_landings);
        let (mut plain, mut stream) = (stream(3), stream(2));
        for step in 0..12 {
            transfer.make_room().unwrap();
            transfer.data_wait.begin();
            let views = transfer.views(next(&mut stream), &normalizer).unwrap();
            assert!(transfer.held.is_empty(), "on the CPU nothing is under way");
            let batch = next(&mut plain);
            assert_eq!(views.len(), batch.num_views());
            for (number, view) in views.iter().enumerate() {
                assert_eq!(view, &normalizer.view(&batch, number), "step {step}, view {number}");
            }
        }
        assert_eq!(transfer.data_wait.read().num_steps, 12);
        let mut metrics = stream.metrics();
        transfer.add_to(&mut metrics);
        let stage = metrics.stage(TRANSFER).expect("batches were copied");
        let row_bytes = 3 * (24 * 24 + 16 * 16);
        assert_eq!((stage.samples_total, stage.bytes_total), (48, 48 * row_bytes));
        assert!(stage.busy_seconds_total > 0.0 && stage.wait_output_seconds_total > 0.0);
        let queue = metrics.queue(TRANSFER).expect("landings are counted");
        assert_eq!((queue.depth, queue.capacity as usize), (0, num_landings));
        assert!(queue.mean_depth > 0.0 && queue.mean_depth < num_landings as f64, "{queue:?}");
    }
}

#[test]
fn views_of_one_step_are_no_views_of_the_memory_that_the_next_one_lands_in() {
    let normalizer = Normalizer::new(Device::Cpu).unwrap();
    let mut transfer = Transfer::with_landings(Device::Cpu, &shape(), 1);
    let mut stream = stream(2);
    let first = transfer.views(next(&mut stream), &normalizer).unwrap();
    let kept: Vec<Tensor> = first.iter().map(Tensor::copy).collect();
    transfer.make_room().unwrap();
    let second = transfer.views(next(&mut stream), &normalizer).unwrap();
    assert_eq!(first, kept);
    assert_ne!(first[0], second[0]);
}

#[test]
fn views_in_bfloat16_are_those_in_f32_rounded_once_and_lie_in_the_same_order() {
    let normalizer = Normalizer::new(Device::Cpu).unwrap();
    let mut half = Transfer::with_landings(Device::Cpu, &shape(), 1).making(Kind::BFloat16);
    let (mut plain, mut stream) = (stream(2), stream(2));
    let views = half.views(next(&mut stream), &normalizer).unwrap();
    let batch = next(&mut plain);
    for (number, view) in views.iter().enumerate() {
        assert_eq!(view, &normalizer.view(&batch, number).to_kind(Kind::BFloat16));
        assert!(view.permute([0, 2, 3, 1]).is_contiguous(), "view {number}");
    }
}

#[test]
fn views_that_are_made_on_the_device_need_no_copy_and_none_is_told() {
    let mut transfer = Transfer::of_device(Device::Cpu);
    let mut metrics = stream(2).metrics();
    transfer.add_to(&mut metrics);
    assert!(metrics.stage(TRANSFER).is_none() && metrics.queue(TRANSFER).is_none());
}

#[test]
fn a_stream_of_few_slots_is_never_held_up_by_landings() {
    for (num_slots, expected) in [(2, 1), (3, 1), (9, 1)] {
        let transfer = Transfer::new(Device::Cpu, &shape(), num_slots);
        assert_eq!(transfer.landings.len(), expected, "{num_slots} slots");
    }
}
