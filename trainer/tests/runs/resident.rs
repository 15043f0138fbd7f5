//! Runs on one resident batch, which measure the rate of a perfect data path.

use smog_trainer::train::Outcome;

use crate::support::{events, losses, refused, tiny, train, within};

const RESIDENT: &str = "run.data_mode=resident";

#[test]
fn every_step_is_done_on_the_first_batch_and_nothing_is_kept_to_go_on_from() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let (stream, resident) = (dir.path().join("stream"), dir.path().join("resident"));
        let length = "run.length=\"12 steps\"";
        train(tiny(&[length]), &stream, false, None);
        let sets = [length, RESIDENT, "run.checkpoint_every=\"3 steps\""];
        assert_eq!(train(tiny(&sets), &resident, false, None), Outcome::Finished);

        let (expected, found) = (losses(&stream), losses(&resident));
        assert_eq!(found.len(), 12);
        assert_eq!(found[&1], expected[&1], "the first batch is the stream's");
        assert_ne!(found[&2], expected[&2], "the second one is the first again");
        let taken = |line: &serde_json::Value| line["trainer_batches_total"].as_u64();
        assert!(events(&resident, "stream").iter().all(|line| taken(line) == Some(1)));
        assert_eq!(events(&resident, "start")[0]["data_mode"], "resident");
        assert_eq!(events(&resident, "summary")[0]["data_mode"], "resident");
        assert_eq!(events(&stream, "summary")[0]["data_mode"], "stream");
        assert!(!resident.join("checkpoints").exists());
    });
}

#[test]
fn it_neither_goes_on_nor_is_gone_on_from() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let (stream, resident) = (dir.path().join("stream"), dir.path().join("resident"));
        train(tiny(&[]), &stream, false, Some(2));
        train(tiny(&[RESIDENT]), &resident, false, Some(2));
        for run in [stream, resident] {
            let message = refused(tiny(&[RESIDENT]), &run, true);
            assert!(
                message.contains("one resident batch") && message.contains("new one"),
                "{message}"
            );
        }
    });
}
