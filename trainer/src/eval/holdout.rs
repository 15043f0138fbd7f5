//! A fixed part of a split as queries, for data sets that have no test split.

use smog_pipeline::draw::{Domain, Draw};

/// One sample in so many is held out.
pub(crate) const ONE_IN: usize = 10;

/// Row numbers of the bank and of the queries: a tenth of `num_samples`, the same for every run and seed.
pub(crate) fn split(num_samples: usize) -> (Vec<i64>, Vec<i64>) {
    let mut rows: Vec<i64> = (0..num_samples as i64).collect();
    Draw::new(0, Domain::Selection, [0; 5]).shuffle(&mut rows);
    let mut queries = rows.split_off(num_samples - num_samples.div_ceil(ONE_IN));
    rows.sort_unstable();
    queries.sort_unstable();
    (rows, queries)
}

/// For each of `num_samples` whether it is one of the queries.
pub(crate) fn is_held_out(num_samples: usize) -> Vec<bool> {
    let mut held_out = vec![false; num_samples];
    split(num_samples).1.into_iter().for_each(|row| held_out[row as usize] = true);
    held_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_and_queries_share_no_row_and_leave_none_out() {
        let (bank, queries) = split(1003);
        assert_eq!(queries.len(), 101);
        let mut all = [bank, queries].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1003).collect::<Vec<i64>>());
        let held_out: Vec<i64> =
            (0..).zip(is_held_out(1003)).filter_map(|(row, out)| out.then_some(row)).collect();
        assert_eq!(held_out, split(1003).1);
    }

    #[test]
    fn queries_are_spread_over_the_split() {
        let (_, queries) = split(1000);
        let first_half = queries.iter().filter(|row| **row < 500).count();
        assert!((30..=70).contains(&first_half), "{first_half} of 100 in the first half");
        assert_eq!(split(1000), split(1000));
    }
}
