//! Named tensors as safetensors files, readable by every tool that reads safetensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Device, Kind, Tensor};

use super::error::CheckpointError;

/// Tensors by name.
pub type Tensors = HashMap<String, Tensor>;

/// What a file says about itself.
pub type Metadata = HashMap<String, String>;

/// A tensor on the host whose bytes are copied only while they are written, one tensor at a time.
struct HostTensor {
    tensor: Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
}

impl View for HostTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.bytes];
        self.tensor.copy_data_u8(&mut bytes, self.tensor.numel());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes
    }
}

fn dtype(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Uint8 => Dtype::U8,
        Kind::Int => Dtype::I32,
        Kind::Int64 => Dtype::I64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        _ => return None,
    })
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::U8 => Kind::Uint8,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}

/// Writes `tensors`, whatever device they are on.
///
/// # Errors
/// If the file cannot be written or a tensor is of a kind that the format lacks.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), CheckpointError> {
    write_about(path, tensors, HashMap::new())
}

/// Writes `tensors` with facts about them, which other programs show.
///
/// # Errors
/// As [`write()`].
pub fn write_about(
    path: &Path,
    tensors: &[(String, Tensor)],
    mut about: HashMap<String, String>,
) -> Result<(), CheckpointError> {
    let wrong = |problem: String| CheckpointError::Tensors { path: path.to_owned(), problem };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = dtype(tensor.kind()).ok_or_else(|| {
            wrong(format!("tensor {name} is of kind {:?}, which cannot be saved", tensor.kind()))
        })?;
        let host = tensor.detach().to_device(Device::Cpu).contiguous();
        let shape: Vec<usize> = host.size().iter().map(|&side| side as usize).collect();
        let bytes = host.numel() * host.kind().elt_size_in_bytes();
        views.push((name.clone(), HostTensor { tensor: host, dtype, shape, bytes }));
    }
    // "pt" is what Python readers expect of tensors that come from PyTorch.
    about.insert("format".to_owned(), "pt".to_owned());
    safetensors::serialize_to_file(views, Some(about), path)
        .map_err(|error| wrong(error.to_string()))
}

/// Reads all tensors of a file onto the host.
///
/// # Errors
/// If the file cannot be read, is no safetensors file, or holds kinds that libtorch lacks.
pub fn read(path: &Path) -> Result<HashMap<String, Tensor>, CheckpointError> {
    read_about(path).map(|(tensors, _)| tensors)
}

/// Reads all tensors of a file onto the host, and what it says about them.
///
/// # Errors
/// As [`read`].
pub fn read_about(path: &Path) -> Result<(Tensors, Metadata), CheckpointError> {
    let bytes = std::fs::read(path).map_err(|error| CheckpointError::Tensors {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    parse(path, &bytes)
}

/// The tensors in the bytes of the file `path`, copied to the host, and what it says about them.
///
/// # Errors
/// If they are no safetensors file, or hold kinds that libtorch lacks.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Tensors, Metadata), CheckpointError> {
    let wrong = |problem: String| CheckpointError::Tensors { path: path.to_owned(), problem };
    if let Some(advice) = other_kind(bytes) {
        return Err(CheckpointError::Kind { path: path.to_owned(), advice });
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
    let (_, head) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    let about = head.metadata().clone().unwrap_or_default();
    let tensors: Result<_, CheckpointError> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let kind = kind(view.dtype()).ok_or_else(|| {
                wrong(format!(
                    "tensor {name} is of kind {:?}, which cannot be loaded",
                    view.dtype()
                ))
            })?;
            let size: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &size, kind)
                .map_err(|error| wrong(error.to_string()))?;
            Ok((name, tensor))
        })
        .collect();
    Ok((tensors?, about))
}

/// What to do with a file that is of another kind: a safetensors file is the length of a JSON object, then the object.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'P', b'K', ..] | [0x80, 2..=5, ..] => Some(
            "it looks like one of torch.save; convert it in Python: \
             from safetensors.torch import save_file; state = torch.load(FILE, weights_only=True, map_location=\"cpu\"); \
             save_file({name: t.contiguous() for name, t in state.items()}, \"encoder.safetensors\")",
        ),
        [b'P', b'A', b'R', b'1', ..] => {
            Some("it is Parquet; give the file that `smog-trainer export` wrote")
        }
        [_, _, _, _, _, _, _, _, b'{', ..] => None,
        _ => Some(
            "give the file that `smog-trainer export` wrote, or one of torchvision or timm as safetensors",
        ),
    }
}
