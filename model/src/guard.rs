//! One boundary that turns a refusal of libtorch into an error.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::{ModelError, first_line};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `Result::unwrap` says when one of tch's plain operations fails.
const TORCH_PANIC: &str = "called `Result::unwrap()` on an `Err` value: ";

/// Runs `body`; where an operation of libtorch panics inside, returns its message as an error.
///
/// The plain operations of tch panic when libtorch refuses them (out of memory, shapes that do not fit). Such a
/// panic is caught and not printed; any other panic is a fault in our code and goes on its way. After an error,
/// tensors that `body` was changing may be half changed: the caller should stop or reload a checkpoint.
///
/// # Errors
/// [`ModelError::Torch`] with the first line of libtorch's message.
pub fn guard<T>(body: impl FnOnce() -> T) -> Result<T, ModelError> {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let quiet = GUARDED.get() && torch_message(info.payload()).is_some();
            if !quiet {
                previous(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(outer);
    result.map_err(|payload| match torch_message(payload.as_ref()) {
        Some(message) => ModelError::Torch { message },
        None => panic::resume_unwind(payload),
    })
}

/// The message of libtorch within a panic's payload; `None` for any other panic.
fn torch_message(payload: &(dyn std::any::Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>()?.strip_prefix(TORCH_PANIC)?;
    // The error arrives in its debug form, `Torch("... \n ...")`, with line ends escaped.
    let inner = ["Torch(", "Convert(", "Kind(", "Shape("]
        .iter()
        .find_map(|variant| text.strip_prefix(variant))?
        .trim_end_matches(')')
        .trim_matches('"');
    Some(first_line(&inner.replace("\\n", "\n").replace("\\\"", "\"")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_refusal_of_libtorch_becomes_an_error_with_its_message() {
        let error = guard(|| {
            let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
            a.matmul(&a)
        })
        .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"), "{text}");
        assert!(!text.contains('\n') && !text.contains("Exception raised"), "{text}");
    }

    #[test]
    fn a_value_passes_through() {
        assert_eq!(guard(|| 3).unwrap(), 3);
    }

    #[test]
    fn a_fault_of_our_own_stays_a_panic() {
        let caught = panic::catch_unwind(|| guard(|| panic!("ours")));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"ours"));
    }
}
