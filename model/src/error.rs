//! What can go wrong in this crate.

/// An error of the model, its optimiser or its evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A setting that cannot work.
    #[error("{field}: {reason}")]
    Config {
        /// Field within the model's settings.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A saved state that lacks a tensor.
    #[error("the saved state has no tensor \"{name}\"")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
    },

    /// A saved tensor of another shape.
    #[error("tensor \"{name}\": saved with shape {found:?}, this model needs {expected:?}")]
    TensorShape {
        /// Name of the tensor.
        name: String,
        /// Shape in the saved state.
        found: Vec<i64>,
        /// Shape that is needed.
        expected: Vec<i64>,
    },

    /// A tensor that this network does not have.
    #[error(
        "tensor \"{name}\" is no part of this encoder: the file holds another network, or one of another size"
    )]
    UnknownTensor {
        /// Name of the tensor.
        name: String,
    },

    /// A saved counter whose value makes no sense.
    #[error("tensor \"{name}\": {reason}")]
    TensorValue {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Too few features to make the groups from. The caller may skip this reset and go on.
    #[error("{num_features} features are not enough to make {num_groups} groups")]
    TooFewFeatures {
        /// Features at hand.
        num_features: i64,
        /// Groups to make.
        num_groups: i64,
    },

    /// Features that are not finite numbers, as after a run that diverged.
    #[error("{what} holds numbers that are not finite")]
    NotFinite {
        /// What was looked at.
        what: &'static str,
    },

    /// Arguments that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// libtorch refused an operation.
    #[error("libtorch: {message}")]
    Torch {
        /// First line of libtorch's message.
        message: String,
    },
}

impl From<tch::TchError> for ModelError {
    fn from(error: tch::TchError) -> Self {
        let text = match error {
            tch::TchError::Torch(text) => text,
            other => other.to_string(),
        };
        Self::Torch { message: first_line(&text).to_owned() }
    }
}

/// libtorch appends a C++ backtrace to its messages.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}
