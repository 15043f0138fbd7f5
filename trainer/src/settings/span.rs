//! Stretches of training: `"300 steps"`, `"100000 samples"`, `"0.5 epochs"`, `"5 %"`.
//!
//! One text instead of three keys, so that a later layer of settings replaces the unit together with the
//! number, and so that the unit is always seen (a bare 300 means very different things at batch 256 and at batch
//! 4096).

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a stretch is written; for messages.
const EXAMPLES: &str = "\"300 steps\", \"100000 samples\", \"1.5 epochs\", \"5 %\" or \"never\"";

/// A stretch of training in the unit that the user gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub enum Span {
    /// Nothing: the thing that it times is off. Written `"never"`.
    Never,
    /// Optimiser steps.
    Steps(u64),
    /// Samples shown, whatever the number of views.
    Samples(u64),
    /// Passes over the data set; may be a fraction.
    Epochs(f64),
    /// Share of the whole run in percent.
    Percent(f64),
}

/// What a [`Span`] is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Samples per step.
    pub batch_size: u64,
    /// Steps per pass over the data set.
    pub steps_per_epoch: u64,
    /// Steps of the whole run; 0 while it is being worked out.
    pub total_steps: u64,
}

impl Span {
    /// The span in whole steps, rounded up so that a positive span is never 0; `None` for
    /// [`Span::Never`] and for zero.
    pub fn steps(self, scale: Scale) -> Option<u64> {
        let steps = match self {
            Self::Never => 0,
            Self::Steps(steps) => steps,
            Self::Samples(samples) => samples.div_ceil(scale.batch_size.max(1)),
            Self::Epochs(epochs) => (epochs * scale.steps_per_epoch as f64).ceil() as u64,
            Self::Percent(percent) => (percent / 100.0 * scale.total_steps as f64).ceil() as u64,
        };
        (steps > 0).then_some(steps)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Samples(samples) => write!(f, "{samples} samples"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not a stretch of training; write it as {EXAMPLES}");
        let text = text.trim();
        if text == "never" {
            return Ok(Self::Never);
        }
        let unit_at = text.find(|c: char| c.is_alphabetic() || c == '%').ok_or_else(wrong)?;
        let (number, unit) = (text[..unit_at].trim().replace('_', ""), &text[unit_at..]);
        let whole = || number.parse::<u64>().map_err(|_| wrong());
        let real = || match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
            _ => Err(wrong()),
        };
        match unit {
            "step" | "steps" => Ok(Self::Steps(whole()?)),
            "sample" | "samples" => Ok(Self::Samples(whole()?)),
            "epoch" | "epochs" => Ok(Self::Epochs(real()?)),
            "%" => Ok(Self::Percent(real()?)),
            _ => Err(wrong()),
        }
    }
}

/// By hand, so that a bare number is answered with how a stretch is written.
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number with its unit in quotes, as {EXAMPLES}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { batch_size: 256, steps_per_epoch: 195, total_steps: 1000 };

    #[test]
    fn a_span_is_read_printed_and_turned_into_steps() {
        for (text, steps) in [
            ("300 steps", Some(300)),
            ("1 step", Some(1)),
            ("100000 samples", Some(391)),
            ("1_000 samples", Some(4)),
            ("0.5 epochs", Some(98)),
            ("2epochs", Some(390)),
            ("5 %", Some(50)),
            ("never", None),
            ("0 epochs", None),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.steps(SCALE), steps, "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
    }

    #[test]
    fn a_span_without_unit_or_with_a_bad_number_is_refused_with_an_example() {
        for text in ["300", "steps", "-1 epochs", "1.5 steps", "nan epochs", "3 weeks", ""] {
            let message = text.parse::<Span>().unwrap_err();
            assert!(message.contains("\"300 steps\""), "{text}: {message}");
        }
    }
}
