//! The ring of slots in every order of events; `make loom` builds and runs it, with the feature of that name.

use smog_pipeline::batch::model;

#[test]
fn a_batch_is_ready_when_all_its_rows_are_written_and_not_before() {
    model::two_workers_fill_a_slot();
}

#[test]
fn a_slot_is_filled_anew_only_after_its_batch_was_dropped() {
    model::a_slot_goes_round_twice();
}

#[test]
fn steps_come_in_their_order_through_two_slots() {
    model::three_steps_through_two_slots();
}
