//! The ring under loom: filling, publishing, releasing and filling again, in every order of events that the
//! memory model allows within the bound on preemptions. `make loom` runs it.
//!
//! Slots, leases, batches and their ordering are the real ones. The job queue is loom's, and cancelling is
//! left out. Values in memory are checked, too, but it is the watch on each row that fails where an access
//! is not ordered behind the one before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use loom::sync::mpsc::channel;
use loom::thread;

use super::ring::{FillSide, ReadySide, ring};
use super::{BatchShape, HeapMemory, HostBatch, RowLease};
use crate::order::OrderSettings;
use crate::render::sample::RowViews;
use crate::runtime::Cancel;
use crate::runtime::metrics::Metrics;
use crate::sample::{Ordinal, SampleId, SampleKey};
use crate::stream::StreamState;

const ROWS: u32 = 2;

/// Runs `body` in every order of events and says how many there were.
#[expect(clippy::print_stdout, reason = "the figure is what a run of the model is for")]
fn explore(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    // Unless LOOM_MAX_PREEMPTIONS says otherwise: without a bound the larger models do not end.
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        body();
    });
    println!("loom: {name}: {} orders of events", runs.load(Relaxed));
}

fn open(num_slots: u32) -> (FillSide, ReadySide) {
    let shape = BatchShape { rows: ROWS, view_sizes: vec![1] };
    let metrics = Arc::new(Metrics::default());
    ring(&shape, num_slots, &HeapMemory, &metrics).expect("memory")
}

fn key(step: u64, row: u32) -> SampleKey {
    let ordinal = step * u64::from(ROWS) + u64::from(row);
    SampleKey { epoch: 0, ordinal: Ordinal(ordinal), sample: SampleId(ordinal as u32), attempt: 0 }
}

/// What a worker does with a row.
fn render(mut lease: RowLease, step: u64) {
    let key = key(step, lease.row());
    let parts = lease.parts();
    parts.plan.views.clear();
    let mut views = parts.views;
    views.view(0).fill(key.sample.0 as u8);
    lease.commit(key, i64::from(key.sample.0), true);
}

fn take(ready: &ReadySide, step: u64, cancel: &Cancel) -> HostBatch {
    let position = StreamState {
        version: StreamState::VERSION,
        dataset_digest: String::new(),
        order: OrderSettings::Full,
        recipe_digest: String::new(),
        seed: 0,
        global_batch: ROWS.into(),
        world_size: 1,
        next_step: step + 1,
    };
    HostBatch::receive(ready, step, 0, position, cancel).expect("nobody cancels")
}

fn check(batch: &HostBatch, step: u64) {
    for row in 0..ROWS {
        let key = key(step, row);
        let index = row as usize;
        assert_eq!(batch.keys()[index], key);
        assert_eq!(batch.labels()[index], i64::from(key.sample.0));
        assert!(batch.valid()[index]);
        assert_eq!(batch.view(0)[3 * index..][..3], [key.sample.0 as u8; 3]);
    }
    assert!(batch.plans().iter().all(|plan| plan.views.is_empty()));
}

/// A batch is ready when all its rows are written, and not before.
pub fn two_workers_fill_a_slot() {
    explore("two workers fill a slot", || {
        let (mut fill, ready) = open(1);
        let cancel = Cancel::default();
        let mut filling = fill.begin(0, &cancel).expect("free");
        let workers: Vec<_> = (0..ROWS)
            .map(|_| filling.next_row().expect("a row"))
            .map(|lease| thread::spawn(move || render(lease, 0)))
            .collect();
        assert!(filling.next_row().is_none());
        check(&take(&ready, 0, &cancel), 0);
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
    });
}

/// A slot is filled anew only after its batch was dropped.
pub fn a_slot_goes_round_twice() {
    explore("a slot goes round twice", || {
        let (mut fill, ready) = open(1);
        let (jobs, rows) = channel();
        let worker = thread::spawn(move || {
            for _ in 0..2 * ROWS {
                let (lease, step) = rows.recv().expect("a job");
                render(lease, step);
            }
        });
        let dispatcher = thread::spawn(move || {
            let cancel = Cancel::default();
            for step in 0..2 {
                let mut filling = fill.begin(step, &cancel).expect("nobody cancels");
                while let Some(lease) = filling.next_row() {
                    jobs.send((lease, step)).expect("the worker lives");
                }
            }
            fill
        });
        let cancel = Cancel::default();
        for step in 0..2 {
            let batch = take(&ready, step, &cancel);
            check(&batch, step);
            thread::yield_now();
            check(&batch, step);
        }
        // Kept to the end, since the last batch still gives its slot back to it.
        let _fill = dispatcher.join().expect("no panic");
        worker.join().expect("no panic");
    });
}

/// Steps come in their order.
pub fn three_steps_through_two_slots() {
    explore("three steps through two slots and two workers", || {
        let (mut fill, ready) = open(2);
        let mut queues = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..ROWS {
            let (jobs, rows) = channel();
            queues.push(jobs);
            workers.push(thread::spawn(move || {
                for _ in 0..3 {
                    let (lease, step) = rows.recv().expect("a job");
                    render(lease, step);
                }
            }));
        }
        let dispatcher = thread::spawn(move || {
            let cancel = Cancel::default();
            for step in 0..3 {
                let mut filling = fill.begin(step, &cancel).expect("nobody cancels");
                for jobs in &queues {
                    let lease = filling.next_row().expect("a row for each worker");
                    jobs.send((lease, step)).expect("the worker lives");
                }
            }
            fill
        });
        let cancel = Cancel::default();
        for step in 0..3 {
            check(&take(&ready, step, &cancel), step);
        }
        // Kept to the end, since the last batch still gives its slot back to it.
        let _fill = dispatcher.join().expect("no panic");
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
    });
}
