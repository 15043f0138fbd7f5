//! Encoders as safetensors files that torchvision and timm read, with what a reader has to know in the header.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smog_model::{Backbone, EncoderConfig};

use crate::checkpoint::{CheckpointError, replace, tensors, write_synced};
use crate::images::{MEAN, STD};

/// What the file says about its encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Which network.
    pub encoder: EncoderConfig,
    /// `online` or `momentum`.
    pub branch: String,
    /// Steps that it was trained for.
    pub step: u64,
    /// Side of the pictures that it is evaluated with.
    pub size: u32,
    /// Short side before their centre crop.
    pub resize: u32,
    /// Whether they are rotated as their EXIF tag says. Files of earlier versions do not say: they are not.
    pub apply_exif: bool,
}

const ENCODER: &str = "smog.encoder";
const BRANCH: &str = "smog.branch";
const STEP: &str = "smog.step";
const SIZE: &str = "smog.size";
const RESIZE: &str = "smog.resize";
const APPLY_EXIF: &str = "smog.apply_exif";

/// Writes the encoder to `path`: whole, or not at all.
///
/// # Errors
/// If the disk refuses.
pub fn write(path: &Path, backbone: &Backbone, about: &About) -> Result<(), CheckpointError> {
    let header = HashMap::from(
        [
            (ENCODER, json(&about.encoder)),
            ("smog.feature_dim", json(&about.encoder.feature_dim())),
            ("smog.mean", json(&MEAN)),
            ("smog.std", json(&STD)),
            (BRANCH, about.branch.clone()),
            (STEP, json(&about.step)),
            (SIZE, json(&about.size)),
            (RESIZE, json(&about.resize)),
            (APPLY_EXIF, json(&about.apply_exif)),
            ("smog.version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    replace(path, |temporary| tensors::write_about(temporary, &backbone.state(), header))
}

/// Writes `text` to `path`: whole, or not at all.
///
/// # Errors
/// If the disk refuses.
pub fn write_text(path: &Path, text: &[u8]) -> Result<(), CheckpointError> {
    replace(path, |temporary| write_synced(temporary, text))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values are JSON")
}

/// What `header` says.
///
/// # Errors
/// If it was not written by [`write()`].
pub fn about(path: &Path, header: &HashMap<String, String>) -> Result<About, CheckpointError> {
    fn value<T: DeserializeOwned>(text: &str) -> Option<T> {
        serde_json::from_str(text).ok()
    }
    let find = || {
        Some(About {
            encoder: value(header.get(ENCODER)?)?,
            branch: header.get(BRANCH)?.clone(),
            step: value(header.get(STEP)?)?,
            size: value(header.get(SIZE)?)?,
            resize: value(header.get(RESIZE)?)?,
            apply_exif: header.get(APPLY_EXIF).map_or(Some(false), |text| value(text))?,
        })
    };
    find().ok_or_else(|| CheckpointError::Tensors {
        path: path.to_owned(),
        problem: "its header does not say which encoder it holds: only files of `smog-trainer export` can be \
                  evaluated"
            .to_owned(),
    })
}
