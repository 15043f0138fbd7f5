//! What a model is made of. The defaults are the small-image setting: ResNet-18 with the CIFAR stem,
//! 300 groups, both directions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Names as they stand in a settings file, from the serde names, so that they cannot drift apart.
macro_rules! named {
    ($type:ty { $($name:literal => $value:expr),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if *self == $value { return f.write_str($name); })+
                Ok(())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(format!("\"{text}\" is none of {}", [$($name),+].join(", "))),
                }
            }
        }
    };
}

// After the macro that it uses.
mod encoder;

pub(crate) use encoder::Layout;
pub use encoder::{Arch, EncoderConfig, Stem};

/// Encoder, heads, groups and the pairing of views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The network whose features are wanted in the end.
    pub encoder: EncoderConfig,
    /// Width of the projector's hidden layer.
    pub projector_hidden: i64,
    /// Width of the predictor's hidden layer.
    pub predictor_hidden: i64,
    /// Size of projections, predictions and group features.
    pub dim: i64,
    /// The groups and how they move.
    pub groups: GroupsConfig,
    /// Which views predict which.
    pub direction: Direction,
    /// Whether a step makes the graph of the online branch part by part.
    pub accumulate: Accumulate,
    /// Whether targets pass through a momentum copy of the predictor, too (the paper is said to draw one;
    /// the known re-implementation leaves it out).
    pub momentum_predictor: bool,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            encoder: EncoderConfig::default(),
            projector_hidden: 2048,
            predictor_hidden: 2048,
            dim: 128,
            groups: GroupsConfig::default(),
            direction: Direction::Both,
            accumulate: Accumulate::Off,
            momentum_predictor: false,
        }
    }
}

impl ModelConfig {
    /// Checks every number that could only fail later, inside libtorch.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.encoder.validate()?;
        positive("projector_hidden", self.projector_hidden)?;
        positive("predictor_hidden", self.predictor_hidden)?;
        positive("dim", self.dim)?;
        self.groups.validate()
    }

    /// Views whose projections are members of the groups in a step, of `num_large` large ones.
    pub fn num_members(&self, num_large: usize) -> usize {
        match self.direction {
            Direction::Both => num_large,
            Direction::Alternate => num_large.saturating_sub(1),
        }
    }

    /// Checks that a step can be made from `num_views` views of which the first `num_large` are large.
    ///
    /// # Errors
    /// [`ModelError::Config`] where no view could predict another one.
    pub fn check_views(&self, num_views: usize, num_large: usize) -> Result<(), ModelError> {
        let least_large = match self.direction {
            Direction::Both => 1,
            Direction::Alternate => 2,
        };
        if num_views < 2 || num_large < least_large || num_large > num_views {
            return Err(ModelError::Config {
                field: "direction",
                reason: format!(
                    "direction = \"{}\" needs at least 2 views and {least_large} large ones, got \
                     {num_views} views of which {num_large} are large",
                    self.direction
                ),
            });
        }
        Ok(())
    }
}

/// Number of groups and their movement (K, beta and tau of docs/METHOD.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// Number of groups K.
    pub count: i64,
    /// Share of the old group feature that an update keeps.
    pub beta: f64,
    /// Temperature that divides the cosine logits.
    pub temperature: f64,
    /// Whether members are scaled to unit length before they are averaged. With it and
    /// `renormalize_groups`, beta means what it says; without, long projections weigh more.
    pub normalize_members: bool,
    /// Whether the updated group features are scaled to unit length before they are stored.
    pub renormalize_groups: bool,
    /// Whether the gradient also reaches the encoder through the updated groups.
    pub grad_through_groups: bool,
    /// Where the group features start.
    pub init: GroupsInit,
}

/// Group features before the first reset; always of unit length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupsInit {
    /// Random directions.
    Sphere,
    /// Random directions with all numbers positive, as lightly's: they all lie near each other.
    Positive,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self {
            count: 300,
            beta: 0.99,
            temperature: 0.1,
            normalize_members: true,
            renormalize_groups: true,
            grad_through_groups: true,
            init: GroupsInit::Sphere,
        }
    }
}

impl GroupsConfig {
    fn validate(&self) -> Result<(), ModelError> {
        if self.count < 2 {
            return Err(ModelError::Config {
                field: "groups.count",
                reason: format!("at least 2 groups are needed, got {}", self.count),
            });
        }
        if !(0.0..=1.0).contains(&self.beta) {
            return Err(ModelError::Config {
                field: "groups.beta",
                reason: format!("must lie in 0..=1, got {}", self.beta),
            });
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(ModelError::Config {
                field: "groups.temperature",
                reason: format!("must be above 0, got {}", self.temperature),
            });
        }
        Ok(())
    }
}

/// Which views predict which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Every large view is a target for every other view, in each step.
    Both,
    /// One large view is the target, another one with each step; about half the cost.
    Alternate,
}

/// How much of the online branch's graph a step holds at once. Whatever is left out of it is computed a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accumulate {
    /// All of it.
    Off,
    /// That of the views of one size; the gradients are those of `Off`.
    Resolution,
    /// That of one view. Batch norms then take the statistics of each view by itself.
    View,
}

named!(Direction { "both" => Direction::Both, "alternate" => Direction::Alternate });

fn positive(field: &'static str, value: i64) -> Result<(), ModelError> {
    if value < 1 {
        return Err(ModelError::Config {
            field,
            reason: format!("must be at least 1, got {value}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_settings_file_and_on_the_command_line_are_the_same() {
        for arch in [
            Arch::Resnet18,
            Arch::Resnet101,
            Arch::VitSmall,
            Arch::VitBase,
            Arch::SwinT,
            Arch::SwinS,
        ] {
            assert_eq!(serde_json::to_value(arch).unwrap(), arch.to_string());
            assert_eq!(arch.to_string().parse(), Ok(arch));
        }
        for stem in [Stem::Imagenet, Stem::Cifar] {
            assert_eq!(serde_json::to_value(stem).unwrap(), stem.to_string());
            assert_eq!(stem.to_string().parse(), Ok(stem));
        }
        for direction in [Direction::Both, Direction::Alternate] {
            assert_eq!(serde_json::to_value(direction).unwrap(), direction.to_string());
            assert_eq!(direction.to_string().parse(), Ok(direction));
        }
        assert!("resnet19".parse::<Arch>().unwrap_err().contains("resnet18, resnet34"));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = serde_json::from_str::<ModelConfig>(r#"{"groups": {"cuont": 3}}"#).unwrap_err();
        assert!(error.to_string().contains("cuont"), "{error}");
    }

    #[test]
    fn impossible_numbers_are_refused_with_their_field() {
        let with = |change: fn(&mut ModelConfig)| {
            let mut config = ModelConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(with(|c| c.encoder.width = 0).contains("encoder.width"));
        assert!(with(|c| c.dim = -1).contains("dim"));
        assert!(with(|c| c.groups.count = 1).contains("groups.count"));
        assert!(with(|c| c.groups.beta = 1.5).contains("groups.beta"));
        assert!(with(|c| c.groups.temperature = 0.0).contains("groups.temperature"));
        assert!(with(|c| c.groups.temperature = f64::NAN).contains("groups.temperature"));
        assert!(ModelConfig::default().validate().is_ok());
    }

    #[test]
    fn a_direction_says_how_many_large_views_it_needs() {
        let mut config = ModelConfig::default();
        assert!(config.check_views(2, 2).is_ok());
        assert!(config.check_views(3, 1).is_ok());
        assert!(config.check_views(1, 1).is_err());
        config.direction = Direction::Alternate;
        assert!(config.check_views(3, 1).unwrap_err().to_string().contains("alternate"));
    }
}
