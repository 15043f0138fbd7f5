//! What is done with an image that is cut off or damaged.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The choice between losing an image and showing one that is partly made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DamagePolicy {
    /// The image is refused, so that no pixel is shown that was not in the file.
    #[default]
    Refuse,
    /// A JPEG is shown as far as it goes, the rest as libjpeg-turbo fills it in: what PIL shows with
    /// `ImageFile.LOAD_TRUNCATED_IMAGES`. PNG and WebP are refused all the same.
    Fill,
}

impl DamagePolicy {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Fill => "fill",
        }
    }
}

impl fmt::Display for DamagePolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for DamagePolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "fill" => Ok(Self::Fill),
            _ => Err(format!("`{text}` is neither `refuse` nor `fill`")),
        }
    }
}
