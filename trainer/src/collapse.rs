//! Notices that a run collapses, and says so once per episode.
//!
//! | figure | where | beyond its limit |
//! | --- | --- | --- |
//! | `largest_share` | log lines | one group takes over |
//! | `effective_dimensions` | log lines | projections differ along a line or two only |
//! | `encoder_spread` | log lines | the encoder's features are all alike |
//! | `feature_spread` | resets | the remembered projections are all alike |
//! | `mean_cosine` | resets | they lie in the groups' centres, with nothing left to tell images of a group apart |
//!
//! A group that holds more than half of the members leaves less than one bit to tell images apart by; with two to four
//! groups it says nothing, so the limit there is higher. A batch may be odd, so a figure of log lines has to stay
//! beyond its limit over several.
//!
//! The deviation of the projections, `feature_std`, is not watched: the norm at the end of the projector gives every dimension
//! its variance back, so projections on a single line have the deviation of healthy ones. What no norm restores is in
//! how many directions they differ, and how much the encoder's features do before any head.

use smog_model::{GroupFigures, ResetReport};

/// Log lines in a row beyond a limit that make an episode.
const LINES: u32 = 3;
/// Share of the members in one group.
const LARGEST_SHARE: f64 = 0.5;
/// Nine tenths of what tells projections apart lie along one line. Runs that learn began with 1.8 and more.
const DIMENSIONS: f64 = 1.3;
/// Features differ by a thirtieth of their length. Networks before their first step had 0.2 and more, runs that learn 0.5.
const ENCODER_SPREAD: f64 = 1e-3;
/// As of the encoder; runs that learn had 0.6 and more.
const FEATURE_SPREAD: f64 = 1e-3;
/// Angles of less than three degrees. Short runs that learn had up to 0.996.
const MEAN_COSINE: f64 = 0.999;
/// With fewer features per group, two views of one picture make a group: they may well be alike.
const FEATURES_PER_GROUP: i64 = 8;

const ALIKE: &str = "the features of all images become alike. Lower schedule.lr_per_256 or make schedule.warmup longer; \
                     raise schedule.momentum_start; check that the images differ (smog-tools inspect)";

/// A figure beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warning {
    /// Name of the figure in the metrics.
    pub figure: &'static str,
    /// Its value at the last line.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// Since when.
    pub seen: Seen,
    /// What to change.
    pub advice: &'static str,
}

/// Where a figure was beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// At the last log lines.
    Lines,
    /// At a reset of the groups.
    Reset,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the run collapses: {} = {:.4} ", self.figure, self.value)?;
        match self.seen {
            Seen::Lines => write!(f, "at the last {LINES} log lines")?,
            Seen::Reset => f.write_str("at the reset of the groups")?,
        }
        write!(f, ", beyond its limit of {:.4}; {}", self.limit, self.advice)
    }
}

/// A figure, its limit, and how long it has been beyond.
#[derive(Clone, Copy, Debug)]
struct Watched {
    figure: &'static str,
    limit: f64,
    advice: &'static str,
    seen: Seen,
    times: u32,
}

impl Watched {
    fn new(figure: &'static str, limit: f64, seen: Seen, advice: &'static str) -> Self {
        Self { figure, limit, advice, seen, times: 0 }
    }

    /// The warning, where an episode begins with this value.
    fn see(&mut self, value: f64, is_beyond: impl Fn(f64, f64) -> bool) -> Option<Warning> {
        let is_beyond = is_beyond(value, self.limit);
        self.times = if is_beyond { self.times.saturating_add(1) } else { 0 };
        let enough = match self.seen {
            Seen::Lines => LINES,
            Seen::Reset => 1,
        };
        let Self { figure, limit, seen, advice, .. } = *self;
        (self.times == enough).then_some(Warning { figure, value, limit, seen, advice })
    }
}

/// Watches the figures of one sitting.
#[derive(Debug)]
pub struct CollapseWatch {
    num_groups: i64,
    share: Watched,
    dimensions: Watched,
    encoder: Watched,
    memory: Watched,
    cosine: Watched,
}

impl CollapseWatch {
    /// A watch over a run with so many groups and dimensions.
    pub fn new(num_groups: i64, dim: i64) -> Self {
        // Twice an even share, or half of all.
        let share = (2.0 / num_groups as f64).clamp(LARGEST_SHARE, 0.95);
        // Few dimensions have few directions.
        let dimensions = if dim < 4 { 0.0 } else { DIMENSIONS };
        Self {
            num_groups,
            share: Watched::new(
                "largest_share",
                share,
                Seen::Lines,
                "one group takes over. Lower schedule.lr_per_256 or make schedule.warmup longer; make the groups anew \
                 more often (reset.every) with reset.copy_to_momentum = true; check that model.groups.count fits the \
                 data",
            ),
            dimensions: Watched::new("effective_dimensions", dimensions, Seen::Lines, ALIKE),
            encoder: Watched::new("encoder_spread", ENCODER_SPREAD, Seen::Lines, ALIKE),
            memory: Watched::new("feature_spread", FEATURE_SPREAD, Seen::Reset, ALIKE),
            cosine: Watched::new("mean_cosine", MEAN_COSINE, Seen::Reset, ALIKE),
        }
    }

    /// What is to be said after a log line.
    pub fn line(&mut self, figures: &GroupFigures) -> Vec<Warning> {
        let below = |value, limit| value < limit;
        let said = [
            self.share.see(figures.largest_share, |value, limit| value > limit),
            self.dimensions.see(figures.effective_dimensions, below),
            self.encoder.see(figures.encoder_spread, below),
        ];
        said.into_iter().flatten().collect()
    }

    /// What is to be said after a reset of the groups.
    pub fn reset(&mut self, report: &ResetReport) -> Vec<Warning> {
        let enough = report.num_clustered >= FEATURES_PER_GROUP * self.num_groups;
        let said = [
            self.memory.see(report.feature_spread, |value, limit| value < limit),
            self.cosine.see(report.mean_cosine, |value, limit| value > limit && enough),
        ];
        said.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(largest_share: f64, effective_dimensions: f64, encoder_spread: f64) -> GroupFigures {
        GroupFigures {
            effective_groups: 9.0,
            effective_groups_since_reset: 9.0,
            largest_share,
            dead_groups: 0,
            agreement: 0.5,
            // As in a collapse: that of directions drawn at random.
            feature_std: 0.25,
            effective_dimensions,
            encoder_spread,
            group_norm: 1.0,
        }
    }

    /// The figures that were warned of at each line.
    fn said(lines: &[(f64, f64, f64)]) -> Vec<Vec<&'static str>> {
        let mut watch = CollapseWatch::new(30, 16);
        let mut line = |&(share, dimensions, spread)| -> Vec<&'static str> {
            let warnings = watch.line(&figures(share, dimensions, spread));
            warnings.iter().map(|warning| warning.figure).collect()
        };
        lines.iter().map(&mut line).collect()
    }

    #[test]
    fn a_healthy_run_and_one_odd_line_say_nothing() {
        let (healthy, odd) = ((0.2, 8.0, 0.1), (0.9, 1.0, 0.0));
        let lines = [healthy, odd, odd, healthy, odd, healthy];
        assert!(said(&lines).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_group_that_takes_over_is_said_once_per_episode() {
        let (bad, good) = ((0.8, 8.0, 0.1), (0.1, 8.0, 0.1));
        let found = said(&[bad, bad, bad, bad, bad, good, bad, bad, bad]);
        let at: Vec<usize> =
            (0..).zip(&found).filter(|(_, said)| !said.is_empty()).map(|(line, _)| line).collect();
        assert_eq!(at, [2, 8]);
        assert_eq!(found[2], ["largest_share"]);
    }

    #[test]
    fn projections_on_a_line_and_equal_features_are_said_with_figure_limit_and_settings() {
        let mut watch = CollapseWatch::new(30, 16);
        let line = figures(0.2, 1.02, 0.00002);
        let warnings: Vec<Warning> = (0..5).flat_map(|_| watch.line(&line)).collect();
        let [dimensions, encoder] = warnings.as_slice() else { panic!("{warnings:?}") };
        let (dimensions, encoder) = (dimensions.to_string(), encoder.to_string());
        assert!(dimensions.contains("effective_dimensions = 1.0200"), "{dimensions}");
        assert!(dimensions.contains("limit of 1.3000"), "{dimensions}");
        assert!(encoder.contains("encoder_spread = 0.0000 at the last 3 log lines"), "{encoder}");
        for text in [dimensions, encoder] {
            assert!(text.contains("features") && text.contains("schedule.lr_per_256"), "{text}");
        }
    }

    #[test]
    fn two_groups_may_hold_more_than_half_of_the_members() {
        let mut watch = CollapseWatch::new(2, 16);
        assert!((0..5).all(|_| watch.line(&figures(0.9, 8.0, 0.1)).is_empty()));
        assert_eq!((0..5).map(|_| watch.line(&figures(0.99, 8.0, 0.1)).len()).sum::<usize>(), 1);
    }

    #[test]
    fn a_reset_whose_features_have_no_spread_is_said_once_per_episode() {
        let report = |num_clustered, feature_spread, mean_cosine| ResetReport {
            num_features: 4000,
            num_clustered,
            num_passes: 3,
            inertia: 0.0,
            feature_spread,
            mean_cosine,
            smallest: 1,
            largest: 40,
            num_reseeded: 0,
        };
        let mut watch = CollapseWatch::new(30, 16);
        let mut said = |clustered, spread, cosine| {
            let warnings = watch.reset(&report(clustered, spread, cosine));
            warnings.iter().map(|warning| warning.figure).collect::<Vec<_>>()
        };
        assert_eq!(said(4000, 0.9, 0.97), [""; 0]);
        assert_eq!(said(4000, 0.9, 0.9995), ["mean_cosine"]);
        assert_eq!(said(4000, 0.9, 0.9995), [""; 0], "said");
        assert_eq!(said(4000, 0.0, 0.0), ["feature_spread"], "vectors of zeros have no cosine");
        assert_eq!(said(4000, 0.9, 0.9), [""; 0]);
        assert_eq!(said(239, 0.9, 1.0), [""; 0], "a group for every few features");
        let text = watch.reset(&report(4000, 0.9, 1.0))[0].to_string();
        assert!(text.contains("mean_cosine = 1.0000 at the reset of the groups"), "{text}");
    }
}
