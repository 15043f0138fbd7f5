//! The memory budget is kept, or the stream refuses to start.

use std::sync::Arc;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{
    RowGroup, RowGroupInfo, Source, SourceError, SubsetSource, SyntheticSource,
};
use smog_pipeline::stream::{BatchStream, MemoryForecast, Start, StreamConfig};
use smog_tests::streams::{config, digests, open};
use smog_tests::watch::{stage_threads, watched};

/// A hundred row groups.
fn source() -> Arc<dyn Source> {
    Arc::new(SyntheticSource::new(2000, 20, 64, 5))
}

fn refusal(config: StreamConfig) -> (MemoryForecast, String) {
    match BatchStream::open(source(), config, Start::Step(0)) {
        Err(PipelineError::Memory { forecast, remedy }) => (*forecast, remedy),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn slots_are_as_large_as_the_views_of_a_batch() {
    watched(|| {
        let memory = open(&source(), &config(), 0).memory();
        assert_eq!(memory.slot_bytes, 8 * 3 * 2 * (16 * 16 + 8 * 8));
        assert_eq!(memory.slots_bytes, 3 * memory.slot_bytes);
        assert_eq!(memory.needed_groups, 5);
    });
}

#[test]
fn a_window_that_does_not_fit_is_refused_before_a_thread_starts_and_one_that_fits_is_named() {
    watched(|| {
        let of_window = |row_groups, memory_budget_bytes| StreamConfig {
            order: OrderSettings::Window { row_groups },
            memory_budget_bytes,
            ..config()
        };
        let needs = open(&source(), &of_window(40, 1 << 30), 0).memory();
        let fixed = needs.total_bytes() - needs.resident_groups_bytes;
        let budget = fixed + needs.needed_groups_bytes / 2;

        let (forecast, remedy) = refusal(of_window(40, budget));
        assert!(stage_threads().is_empty());
        assert_eq!(forecast.needed_groups, 41);
        assert!(forecast.total_bytes() > budget);
        assert!(
            remedy.starts_with(&format!("raise memory_budget_bytes to {}", forecast.total_bytes())),
            "{remedy}"
        );
        let window: u32 = remedy
            .split("a window of ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no window named: {remedy}"));
        assert!((18..=20).contains(&window), "{remedy}");
        open(&source(), &of_window(window, budget), 0);
        refusal(of_window(window + 1, budget));
        open(&source(), &of_window(40, forecast.total_bytes()), 0);
    });
}

#[test]
fn the_message_has_all_the_numbers() {
    watched(|| {
        let error = BatchStream::open(
            source(),
            StreamConfig { memory_budget_bytes: 1000, ..config() },
            Start::Step(0),
        )
        .expect_err("too little");
        let text = error.to_string();
        for part in
            ["3 slots x", "row groups", "scratch of 2 workers", "order", "together", "raise"]
        {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    });
}

#[test]
fn what_is_held_never_exceeds_the_forecast() {
    watched(|| {
        for row_groups in [1, 4, 16, 60] {
            let roomy = StreamConfig { order: OrderSettings::Window { row_groups }, ..config() };
            let needs = open(&source(), &roomy, 0).memory();
            assert!(needs.keeps_all);
            let least =
                needs.total_bytes() - needs.resident_groups_bytes + needs.needed_groups_bytes;
            let config = StreamConfig { memory_budget_bytes: least, ..roomy.clone() };
            let mut stream = open(&source(), &config, 0);
            assert!(!stream.memory().keeps_all);
            let found = digests(&mut stream, 300);
            let metrics = stream.metrics();
            // Rows on their way to a worker keep a row group that the order has finished with; and what is
            // waited for passes over the budget. That is at most a few row groups, whatever the window.
            let slack = 4 * needs.needed_groups_bytes / u64::from(needs.needed_groups);
            assert!(
                metrics.peak_resident_bytes <= stream.memory().resident_groups_bytes + slack,
                "window {row_groups}: {} held, {} foreseen",
                metrics.peak_resident_bytes,
                stream.memory().resident_groups_bytes
            );
            // How much memory there is changes when things are read and nothing else.
            assert_eq!(found, digests(&mut open(&source(), &roomy, 0), 300));
        }
    });
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    watched(|| {
        let key_of =
            |config: StreamConfig| match BatchStream::open(source(), config, Start::Step(0)) {
                Err(PipelineError::Setting { key, .. }) => key,
                other => panic!("not refused: {other:?}"),
            };
        assert_eq!(key_of(StreamConfig { batch_size: 0, ..config() }), "batch_size");
        assert_eq!(key_of(StreamConfig { batch_size: 2001, ..config() }), "batch_size");
        assert_eq!(key_of(StreamConfig { num_slots: 1, ..config() }), "num_slots");
        assert_eq!(key_of(StreamConfig { world_size: 0, ..config() }), "world_size");
        assert_eq!(key_of(StreamConfig { rank: 1, ..config() }), "rank");
        assert_eq!(
            key_of(StreamConfig { order: OrderSettings::Window { row_groups: 0 }, ..config() }),
            "window"
        );
    });
}

/// The images of [`source`], and more that is kept or decoded.
struct Heavy(Arc<dyn Source>);

impl Source for Heavy {
    fn row_groups(&self) -> &[RowGroupInfo] {
        self.0.row_groups()
    }

    fn digest(&self) -> &str {
        self.0.digest()
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn max_pixels(&self) -> u64 {
        self.0.max_pixels()
    }

    fn max_coefficient_bytes(&self) -> u64 {
        20_000
    }

    fn held_bytes(&self) -> u64 {
        3_000_000
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        self.0.read(group)
    }
}

#[test]
fn what_the_source_keeps_and_coefficients_are_within_the_budget() {
    watched(|| {
        let light = open(&source(), &config(), 0).memory();
        let heavy: Arc<dyn Source> = Arc::new(Heavy(source()));
        let forecast = open(&heavy, &config(), 0).memory();
        assert_eq!(forecast.source_bytes, light.source_bytes + 3_000_000);
        assert_eq!(forecast.scratch_bytes, light.scratch_bytes + 2 * 20_000);
        assert_eq!(forecast.total_bytes(), light.total_bytes() + 3_040_000);
        let least =
            forecast.total_bytes() - forecast.resident_groups_bytes + forecast.needed_groups_bytes;
        let config = |memory_budget_bytes| StreamConfig { memory_budget_bytes, ..config() };
        open(&heavy, &config(least), 0);
        let error = BatchStream::open(heavy, config(least - 1), Start::Step(0)).expect_err("less");
        assert!(error.to_string().contains("places 3.0 MB"), "{error}");
    });
}

/// An evaluation on a part of the samples keeps what it has read.
#[test]
fn a_subset_tells_what_the_whole_takes_and_what_it_keeps() {
    let subset = SubsetSource::new(Arc::new(Heavy(source())), &[1, 2, 60]).unwrap();
    assert_eq!(subset.max_coefficient_bytes(), 20_000);
    let bytes: u64 = subset.row_groups().iter().map(|group| group.bytes).sum();
    assert!(bytes > 0);
    assert_eq!(subset.held_bytes(), 3_000_000 + 3 * 4 + bytes);
}
