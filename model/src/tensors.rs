//! Saved states: looking a tensor up by name and copying it with its shape checked.

use std::collections::HashMap;

use tch::{Kind, Tensor, no_grad};

use crate::error::ModelError;

/// The tensor of this name.
pub(crate) fn find<'a>(
    state: &'a HashMap<String, Tensor>,
    name: &str,
) -> Result<&'a Tensor, ModelError> {
    state.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
}

/// The single integer saved under this name.
pub(crate) fn counter(state: &HashMap<String, Tensor>, name: &str) -> Result<i64, ModelError> {
    let tensor = find(state, name)?;
    if tensor.numel() != 1 || tensor.kind() != Kind::Int64 {
        return Err(ModelError::TensorValue {
            name: name.to_owned(),
            reason: format!(
                "expected one 64-bit integer, found {:?} of {:?}",
                tensor.size(),
                tensor.kind()
            ),
        });
    }
    Ok(tensor.int64_value(&vec![0; tensor.dim()]))
}

/// Checks that a tensor of `target`'s shape is saved under this name.
pub(crate) fn check(
    target: &Tensor,
    state: &HashMap<String, Tensor>,
    name: &str,
) -> Result<(), ModelError> {
    let saved = find(state, name)?;
    if saved.size() != target.size() {
        return Err(ModelError::TensorShape {
            name: name.to_owned(),
            found: saved.size(),
            expected: target.size(),
        });
    }
    Ok(())
}

/// Copies the saved tensor into `target`, in place.
pub(crate) fn load(
    target: &Tensor,
    state: &HashMap<String, Tensor>,
    name: &str,
) -> Result<(), ModelError> {
    check(target, state, name)?;
    let saved = find(state, name)?;
    no_grad(|| target.shallow_clone().copy_(saved));
    Ok(())
}
