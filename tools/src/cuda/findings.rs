//! What the check found, line by line.

use serde::Serialize;
use smog_cuda::RouteCounts;

/// One finding.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it is held against; empty where it is only measured.
    pub(crate) target: &'static str,
    pub(crate) passed: Option<bool>,
}

pub(crate) fn judged(
    name: String,
    value: f64,
    unit: &'static str,
    target: &'static str,
    passed: bool,
) -> Finding {
    Finding { name, value, unit, target, passed: Some(passed) }
}

pub(crate) fn measured(name: String, value: f64, unit: &'static str) -> Finding {
    Finding { name, value, unit, target: "", passed: None }
}

impl Finding {
    pub(crate) fn line(&self) -> String {
        let verdict = match self.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "measured",
        };
        let target =
            if self.target.is_empty() { String::new() } else { format!(" ({})", self.target) };
        format!("{verdict:<9}{}: {:.3} {}{target}", self.name, self.value, self.unit)
    }
}

/// Nothing of a part could be found: the others are worth knowing all the same.
pub(crate) fn broken(part: &str, error: &anyhow::Error) -> Finding {
    judged(format!("{part}: {error:#}"), 0.0, "", "no error", false)
}

/// Images by the way they took.
pub(crate) fn ways(when: &str, counts: RouteCounts) -> impl Iterator<Item = Finding> {
    [
        ("JPEG engines", counts.hardware),
        ("hybrid decoders", counts.hybrid),
        ("the CPU", counts.cpu),
        ("nobody at first: refused by the engines", counts.hardware_refused),
        ("nobody at first: refused by a hybrid decoder", counts.hybrid_refused),
    ]
    .map(|(who, count)| measured(format!("{when}, decoded by {who}"), count as f64, "images"))
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_lines_with_their_verdict() {
        let bad = judged("kernels: time".into(), 12.5, "us", "below 10", false);
        assert_eq!(bad.line(), "FAILED   kernels: time: 12.500 us (below 10)");
        let none = broken("renderer", &anyhow::anyhow!("out of memory").context("a stream"));
        assert_eq!(none.line(), "FAILED   renderer: a stream: out of memory: 0.000  (no error)");
        assert_eq!(measured("rate".into(), 3.0, "images").line(), "measured rate: 3.000 images");
    }
}
