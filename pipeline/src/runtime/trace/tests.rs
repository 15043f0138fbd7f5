use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Records what `body` does on this thread, and parses the file.
fn record(max_events: u64, body: impl FnOnce()) -> (TraceSummary, Vec<Value>) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("trace.json");
    let (trace, layer) = Trace::create(&path, max_events).expect("created");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), body);
    let summary = trace.finish().expect("written");
    let text = std::fs::read_to_string(&path).expect("it is there");
    (summary, serde_json::from_str(&text).expect("it is JSON"))
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["name"] == name).collect()
}

#[test]
fn spans_have_a_beginning_a_length_and_their_fields() {
    let (summary, events) = record(100, || {
        let _outer = tracing::debug_span!("outer", step = 7, path = "a \"b\"\n").entered();
        std::thread::sleep(Duration::from_millis(2));
        tracing::trace_span!("inner").in_scope(|| std::thread::sleep(Duration::from_millis(1)));
    });
    assert_eq!(summary, TraceSummary { num_events: 2, was_cut: false });
    let (outer, inner) = (named(&events, "outer")[0], named(&events, "inner")[0]);
    assert_eq!(outer["args"], serde_json::json!({"step": 7, "path": "a \"b\"\n"}));
    let span = |event: &Value| {
        let begin = event["ts"].as_f64().expect("a number");
        (begin, begin + event["dur"].as_f64().expect("a number"))
    };
    let ((begin, end), (inner_begin, inner_end)) = (span(outer), span(inner));
    assert!(begin + 2000.0 <= inner_begin && inner_begin + 1000.0 <= inner_end && inner_end <= end);
    let thread = std::thread::current();
    assert_eq!(named(&events, "thread_name")[0]["args"]["name"], thread.name().expect("a name"));
}

#[test]
fn events_are_marks_and_counters_are_curves() {
    let (_, events) = record(100, || {
        tracing::warn!(path = "a.jpg", "bad sample");
        tracing::debug!(name: "collate", epoch = 3);
        tracing::trace!(target: COUNTERS, ready_batches = 2u32);
    });
    assert_eq!(named(&events, "bad sample")[0]["args"]["path"], "a.jpg");
    assert_eq!(named(&events, "collate")[0]["ph"], "i");
    let counter = named(&events, "ready_batches")[0];
    assert_eq!((&counter["ph"], &counter["args"]["ready_batches"]), (&"C".into(), &2.into()));
}

#[test]
fn a_trace_that_is_full_takes_no_more_and_says_so() {
    let (summary, events) =
        record(3, || (0..10).for_each(|step| tracing::debug_span!("work", step).in_scope(|| ())));
    assert_eq!(summary, TraceSummary { num_events: 3, was_cut: true });
    assert_eq!(named(&events, "work").len(), 3);
}

#[test]
fn short_waits_and_spans_of_others_are_left_out() {
    let (_, events) = record(1000, || {
        // A busy machine makes some of them long.
        for _ in 0..100 {
            tracing::trace_span!(WAIT_INPUT).in_scope(|| ());
        }
        tracing::trace_span!(WAIT_OUTPUT).in_scope(|| std::thread::sleep(SHORTEST_WAIT));
        tracing::trace_span!(target: "other", "foreign").in_scope(|| ());
    });
    assert!(named(&events, WAIT_INPUT).len() < 100, "{events:?}");
    assert_eq!(named(&events, WAIT_OUTPUT).len(), 1);
    assert!(named(&events, "foreign").is_empty());
}

#[test]
fn a_trace_without_events_is_an_empty_array() {
    assert_eq!(record(10, || ()).1, Vec::<Value>::new());
}

#[test]
fn a_trace_is_whole_after_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("trace.json");
    let result = std::panic::catch_unwind(|| {
        let (_trace, layer) = Trace::create(&path, 10).expect("created");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::debug_span!("breaks").entered();
            panic!("on purpose");
        });
    });
    result.expect_err("it panicked");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let events: Vec<Value> = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(named(&events, "breaks").len(), 1);
}

#[test]
fn a_file_that_cannot_be_created_is_named() {
    let error = Trace::create::<tracing_subscriber::Registry>(Path::new("/nowhere/trace.json"), 1)
        .err()
        .expect("there is no such folder");
    assert_eq!(error.to_string(), "cannot write the trace /nowhere/trace.json");
}
