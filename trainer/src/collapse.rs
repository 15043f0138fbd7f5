//! Notices that a run collapses, and says so once per episode.
//!
//! Two figures tell: the share of the largest group, and the deviation of the unit-length projections. A vector of unit
//! length in `dim` dimensions that points anywhere has a deviation of 1/sqrt(dim) in each; features that are all alike
//! have none. A tenth of that is what is left when nearly all features lie within a cone of about six degrees: no
//! healthy run is near it. A group that holds more than half of the members leaves less than one bit to tell images
//! apart by; with two to four groups it says nothing, so the limit there is higher. A batch may be odd, so a figure has
//! to stay beyond its limit over several log lines.

use smog_model::GroupFigures;

/// Log lines in a row beyond a limit that make an episode.
const LINES: u32 = 3;
/// Share of the members in one group.
const LARGEST_SHARE: f64 = 0.5;
/// Deviation over that of directions drawn at random.
const DEVIATION: f64 = 0.1;

/// A figure beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warning {
    /// Name of the figure in the metrics.
    pub figure: &'static str,
    /// Its value at the last line.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// What to change.
    pub advice: &'static str,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the run collapses: {} = {:.4} at the last {LINES} log lines, beyond its limit of {:.4}; {}",
            self.figure, self.value, self.limit, self.advice
        )
    }
}

/// One figure and how long it has been beyond its limit.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    lines: u32,
}

impl Watched {
    /// Whether an episode begins with this line.
    fn begins(&mut self, is_beyond: bool) -> bool {
        self.lines = if is_beyond { self.lines.saturating_add(1) } else { 0 };
        self.lines == LINES
    }
}

/// Watches the figures of the log lines of one sitting.
#[derive(Debug)]
pub struct CollapseWatch {
    share: Watched,
    deviation: Watched,
    share_limit: f64,
    deviation_limit: f64,
}

impl CollapseWatch {
    /// A watch over a run with so many groups and dimensions.
    pub fn new(num_groups: i64, dim: i64) -> Self {
        Self {
            share: Watched::default(),
            deviation: Watched::default(),
            // Twice an even share, or half of all.
            share_limit: (2.0 / num_groups as f64).clamp(LARGEST_SHARE, 0.95),
            deviation_limit: DEVIATION / (dim as f64).sqrt(),
        }
    }

    /// What is to be said after a log line.
    pub fn line(&mut self, figures: &GroupFigures) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.share.begins(figures.largest_share > self.share_limit) {
            warnings.push(Warning {
                figure: "largest_share",
                value: figures.largest_share,
                limit: self.share_limit,
                advice: "one group takes over. Lower schedule.lr_per_256 or make schedule.warmup longer; make the \
                         groups anew more often (reset.every) with reset.copy_to_momentum = true; check that \
                         model.groups.count fits the data",
            });
        }
        if self.deviation.begins(figures.feature_std < self.deviation_limit) {
            warnings.push(Warning {
                figure: "feature_std",
                value: figures.feature_std,
                limit: self.deviation_limit,
                advice: "the features of all images become alike. Lower schedule.lr_per_256 or make schedule.warmup \
                         longer; raise schedule.momentum_start; check that the images differ (smog-tools inspect)",
            });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(largest_share: f64, feature_std: f64) -> GroupFigures {
        GroupFigures {
            effective_groups: 9.0,
            effective_groups_since_reset: 9.0,
            largest_share,
            dead_groups: 0,
            agreement: 0.5,
            feature_std,
            group_norm: 1.0,
        }
    }

    /// The figures that were warned of at each line.
    fn said(lines: &[(f64, f64)]) -> Vec<Vec<&'static str>> {
        let mut watch = CollapseWatch::new(30, 16);
        let mut line = |&(share, std)| -> Vec<&'static str> {
            watch.line(&figures(share, std)).iter().map(|warning| warning.figure).collect()
        };
        lines.iter().map(&mut line).collect()
    }

    #[test]
    fn a_healthy_run_and_one_odd_line_say_nothing() {
        // 1/sqrt(16) = 0.25 is the best.
        let healthy = (0.2, 0.24);
        let lines = [healthy, (0.9, 0.001), (0.9, 0.001), healthy, (0.9, 0.001), healthy];
        assert!(said(&lines).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_group_that_takes_over_is_said_once_per_episode() {
        let (bad, good) = ((0.8, 0.2), (0.1, 0.2));
        let found = said(&[bad, bad, bad, bad, bad, good, bad, bad, bad]);
        let at: Vec<usize> =
            (0..).zip(&found).filter(|(_, said)| !said.is_empty()).map(|(line, _)| line).collect();
        assert_eq!(at, [2, 8]);
        assert_eq!(found[2], ["largest_share"]);
    }

    #[test]
    fn features_without_spread_are_said_with_figure_limit_and_settings() {
        let mut watch = CollapseWatch::new(30, 16);
        let warnings: Vec<Warning> = (0..5).flat_map(|_| watch.line(&figures(0.2, 0.02))).collect();
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        let text = warning.to_string();
        for part in ["feature_std = 0.0200", "limit of 0.0250", "schedule.lr_per_256"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn two_groups_may_hold_more_than_half_of_the_members() {
        let mut watch = CollapseWatch::new(2, 16);
        assert!((0..5).all(|_| watch.line(&figures(0.9, 0.2)).is_empty()));
        assert_eq!((0..5).map(|_| watch.line(&figures(0.99, 0.2)).len()).sum::<usize>(), 1);
    }
}
