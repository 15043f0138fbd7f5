//! Properties of the orders.

use proptest::prelude::*;

use super::*;
use crate::stream::StreamMode;

pub(crate) fn groups(rows: &[u32]) -> Vec<RowGroupInfo> {
    let mut first = 0;
    rows.iter()
        .map(|&rows| {
            let info =
                RowGroupInfo { first_sample: SampleId(first), rows, bytes: u64::from(rows) * 10 };
            first += rows;
            info
        })
        .collect()
}

fn even(num_groups: usize, rows: u32) -> Vec<RowGroupInfo> {
    groups(&vec![rows; num_groups])
}

/// All sample numbers of an epoch.
fn samples(order: &dyn Order, epoch: u32) -> Vec<u32> {
    order.rows(epoch, 0).map(|row| row.sample.0).collect()
}

fn digest(samples: &[u32]) -> String {
    let mut hash = blake3::Hasher::new();
    for sample in samples {
        hash.update(&sample.to_le_bytes());
    }
    hash.finalize().to_hex()[..16].to_string()
}

fn positions(num_samples: u32) -> Positions {
    Positions { num_samples, batch_size: 1, rank: 0, world_size: 1, mode: StreamMode::Endless }
}

fn any_settings() -> impl Strategy<Value = OrderSettings> {
    prop_oneof![
        Just(OrderSettings::Full),
        Just(OrderSettings::Sequential),
        (1u32..40).prop_map(|row_groups| OrderSettings::Window { row_groups }),
    ]
}

proptest! {
    #[test]
    fn every_epoch_is_a_permutation(
        rows in prop::collection::vec(1u32..50, 1..40),
        settings in any_settings(),
        seed: u64,
        epoch in 0u32..1000,
    ) {
        let groups = groups(&rows);
        let mut samples = samples(&*order(settings, &groups, seed), epoch);
        samples.sort_unstable();
        prop_assert_eq!(samples, (0..rows.iter().sum()).collect::<Vec<u32>>());
    }

    #[test]
    fn an_epoch_entered_anywhere_goes_on_as_if_walked_from_its_start(
        rows in prop::collection::vec(1u32..50, 1..60),
        settings in any_settings(),
        seed: u64,
        share in 0.0..=1.0f64,
    ) {
        let groups = groups(&rows);
        let order = order(settings, &groups, seed);
        let whole: Vec<OrderedRow> = order.rows(5, 0).collect();
        let position = (share * whole.len() as f64) as usize;
        let rest: Vec<OrderedRow> = order.rows(5, position as u32).collect();
        prop_assert_eq!(&whole[position..], &rest[..]);
        prop_assert_eq!(order.rows(5, whole.len() as u32).next(), None);
    }

    #[test]
    fn no_more_row_groups_are_in_use_at_once_than_the_order_promises(
        rows in prop::collection::vec(1u32..50, 1..60),
        settings in any_settings(),
        seed: u64,
        epoch in 0u32..3,
    ) {
        let groups = groups(&rows);
        let order = order(settings, &groups, seed);
        let mut in_use = std::collections::BTreeSet::new();
        let mut left = rows.clone();
        for row in order.rows(epoch, 0) {
            let group = &groups[row.group.0 as usize];
            prop_assert!((group.first_sample.0..group.first_sample.0 + group.rows).contains(&row.sample.0));
            in_use.insert(row.group.0);
            prop_assert!(
                in_use.len() as u32 <= order.max_resident_groups(),
                "{} in use, {} promised", in_use.len(), order.max_resident_groups(),
            );
            let left = &mut left[row.group.0 as usize];
            *left -= 1;
            prop_assert_eq!(row.ends_group, *left == 0, "the last row of a row group is marked");
            if row.ends_group {
                in_use.remove(&row.group.0);
            }
        }
        prop_assert!(in_use.is_empty());
    }

    #[test]
    fn an_order_is_a_pure_function_of_seed_and_epoch(
        rows in prop::collection::vec(1u32..20, 1..20),
        settings in any_settings(),
        seed: u64,
    ) {
        let groups = groups(&rows);
        let first = order(settings, &groups, seed);
        let later = samples(&*first, 3);
        samples(&*first, 7);
        prop_assert_eq!(later, samples(&*order(settings, &groups, seed), 3));
    }
}

#[test]
fn shuffled_epochs_and_seeds_differ() {
    let groups = even(30, 20);
    for settings in [OrderSettings::Full, OrderSettings::Window { row_groups: 10 }] {
        let epochs: Vec<_> =
            (0..5).map(|epoch| samples(&*order(settings, &groups, 1), epoch)).collect();
        for (index, epoch) in epochs.iter().enumerate() {
            assert!(!epochs[..index].contains(epoch), "{settings}: epoch {index} is a repetition");
        }
        assert_ne!(samples(&*order(settings, &groups, 2), 0), epochs[0]);
    }
}

/// The digests were computed by `tests/golden/order.py`, which implements ChaCha8 and both shuffles anew.
#[test]
fn orders_have_the_golden_digests() {
    let groups = groups(&[5, 7, 1, 9, 4, 6, 8, 3, 2, 10, 5, 5]);
    let digest_of =
        |settings, seed, epoch| digest(&samples(&*order(settings, &groups, seed), epoch));
    let window = OrderSettings::Window { row_groups: 4 };
    assert_eq!(digest_of(window, 42, 0), "f98c47e53d78d21a");
    assert_eq!(digest_of(window, 42, 1), "7cf0b53956897cbe");
    assert_eq!(digest_of(OrderSettings::Full, 42, 0), "23d321fbe431ae33");
    assert_eq!(digest_of(OrderSettings::Full, u64::MAX, 9), "eac47c8c00fca2d1");
}

#[test]
fn a_window_as_wide_as_the_data_set_is_the_full_shuffle() {
    let groups = even(8, 10);
    let wide = order(OrderSettings::Window { row_groups: 8 }, &groups, 5);
    assert_eq!(samples(&*wide, 2), samples(&*order(OrderSettings::Full, &groups, 5), 2));
}

#[test]
fn the_first_batch_of_an_epoch_is_as_well_mixed_as_the_others() {
    let groups = even(400, 200);
    let order = Windowed::new(&groups, 64, 7);
    for epoch in 0..4 {
        let quality = shuffle_quality(order.rows(epoch, 0), &groups, 256);
        // A uniform shuffle over 64 row groups has 62.9 of them in 256 rows. At the ends of the line the
        // window is folded onto half its width, so there it is about half as many, but never a handful.
        assert!(quality.groups_per_batch > 58.0, "{quality:?}");
        assert!(quality.first_batch >= 28, "{quality:?}");
        assert!(quality.worst_batch >= 28, "{quality:?}");
    }
}

#[test]
fn a_wider_window_mixes_better_and_the_full_shuffle_best() {
    let groups = even(200, 100);
    let ratio =
        |settings| shuffle_quality(order(settings, &groups, 3).rows(0, 0), &groups, 256).ratio();
    let ratios = [
        ratio(OrderSettings::Sequential),
        ratio(OrderSettings::Window { row_groups: 10 }),
        ratio(OrderSettings::Window { row_groups: 64 }),
        ratio(OrderSettings::Full),
    ];
    assert!(ratios.is_sorted(), "{ratios:?}");
    assert!(ratios[0] < 0.05 && ratios[3] > 0.98, "{ratios:?}");
}

#[test]
fn the_rest_of_an_endless_epoch_is_left_out_and_ordinals_run_on() {
    let positions = Positions { batch_size: 4, ..positions(11) };
    assert_eq!(positions.steps_per_epoch(), 2);
    assert_eq!(positions.end(), None);
    assert_eq!(positions.split(5), (2, 1));
    let row = positions.row(1, 3);
    assert_eq!(row, Position { in_epoch: 7, valid: true });
    assert_eq!(positions.ordinal(2, row), crate::sample::Ordinal(23));
}

#[test]
fn the_last_batch_of_a_finite_stream_is_padded_with_its_last_sample() {
    let positions = Positions { batch_size: 4, mode: StreamMode::Once, ..positions(11) };
    assert_eq!(positions.steps_per_epoch(), 3);
    assert_eq!(positions.end(), Some(3));
    let rows: Vec<_> = (0..4).map(|row| positions.row(2, row)).collect();
    assert_eq!(rows[2], Position { in_epoch: 10, valid: true });
    assert_eq!(rows[3], Position { in_epoch: 10, valid: false });
}

#[test]
fn ranks_share_each_global_batch() {
    let of_rank = |rank| Positions { batch_size: 3, rank, world_size: 2, ..positions(13) };
    assert_eq!(of_rank(0).steps_per_epoch(), 2);
    let rows =
        |rank, step| (0..3).map(|row| of_rank(rank).row(step, row).in_epoch).collect::<Vec<_>>();
    assert_eq!(rows(0, 0), [0, 1, 2]);
    assert_eq!(rows(1, 0), [3, 4, 5]);
    assert_eq!(rows(0, 1), [6, 7, 8]);
    assert_eq!(rows(1, 1), [9, 10, 11]);
}
