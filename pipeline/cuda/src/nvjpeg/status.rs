//! Status codes of nvJPEG.

use std::sync::Once;

use nvjpeg_sys as sys;

use crate::CudaError;

/// The name of a status, as in nvJPEG's header.
pub(crate) fn name(status: sys::nvjpegStatus_t) -> &'static str {
    match status {
        sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS => "NVJPEG_STATUS_SUCCESS",
        sys::nvjpegStatus_t_NVJPEG_STATUS_NOT_INITIALIZED => "NVJPEG_STATUS_NOT_INITIALIZED",
        sys::nvjpegStatus_t_NVJPEG_STATUS_INVALID_PARAMETER => "NVJPEG_STATUS_INVALID_PARAMETER",
        sys::nvjpegStatus_t_NVJPEG_STATUS_BAD_JPEG => "NVJPEG_STATUS_BAD_JPEG",
        sys::nvjpegStatus_t_NVJPEG_STATUS_JPEG_NOT_SUPPORTED => "NVJPEG_STATUS_JPEG_NOT_SUPPORTED",
        sys::nvjpegStatus_t_NVJPEG_STATUS_ALLOCATOR_FAILURE => "NVJPEG_STATUS_ALLOCATOR_FAILURE",
        sys::nvjpegStatus_t_NVJPEG_STATUS_EXECUTION_FAILED => "NVJPEG_STATUS_EXECUTION_FAILED",
        sys::nvjpegStatus_t_NVJPEG_STATUS_ARCH_MISMATCH => "NVJPEG_STATUS_ARCH_MISMATCH",
        sys::nvjpegStatus_t_NVJPEG_STATUS_INTERNAL_ERROR => "NVJPEG_STATUS_INTERNAL_ERROR",
        sys::nvjpegStatus_t_NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED => {
            "NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED"
        }
        sys::nvjpegStatus_t_NVJPEG_STATUS_INCOMPLETE_BITSTREAM => {
            "NVJPEG_STATUS_INCOMPLETE_BITSTREAM"
        }
        _ => "a status without a name",
    }
}

/// Success or the error.
pub(crate) fn check(what: &'static str, status: sys::nvjpegStatus_t) -> Result<(), CudaError> {
    if status == sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
        return Ok(());
    }
    Err(CudaError::Nvjpeg { what, status, name: name(status) })
}

/// Whether another decoder may still take the image: the status is of the image, or nvJPEG found no memory for it, which
/// the processor's decoder does not need; that is said once. Everything else is a failure of the machine or of ours and
/// must not pass for a bad image.
pub(crate) fn is_refusal(what: &'static str, status: sys::nvjpegStatus_t) -> bool {
    static SAID: Once = Once::new();
    static MISMATCH_SAID: Once = Once::new();
    if status == sys::nvjpegStatus_t_NVJPEG_STATUS_ALLOCATOR_FAILURE {
        SAID.call_once(|| {
            tracing::warn!(
                what,
                "nvJPEG finds no memory for images; other decoders take them, more slowly: lower the batch size or \
                 surface_bytes (said once)"
            );
        });
        return true;
    }
    if status == sys::nvjpegStatus_t_NVJPEG_STATUS_ARCH_MISMATCH {
        // Of a stream or format that the device cannot do; where it is of all, that must not go unseen.
        MISMATCH_SAID.call_once(|| {
            tracing::warn!(
                what,
                "nvJPEG says that this device cannot decode an image; other decoders take such, more slowly (said once)"
            );
        });
        return true;
    }
    is_of_the_image(status)
}

fn is_of_the_image(status: sys::nvjpegStatus_t) -> bool {
    matches!(
        status,
        sys::nvjpegStatus_t_NVJPEG_STATUS_BAD_JPEG
            | sys::nvjpegStatus_t_NVJPEG_STATUS_JPEG_NOT_SUPPORTED
            | sys::nvjpegStatus_t_NVJPEG_STATUS_INCOMPLETE_BITSTREAM
            | sys::nvjpegStatus_t_NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED
            // Seen for corrupt files by others, and for images over what the engines take.
            | sys::nvjpegStatus_t_NVJPEG_STATUS_INTERNAL_ERROR
            | sys::nvjpegStatus_t_NVJPEG_STATUS_INVALID_PARAMETER
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_named_and_only_those_of_an_image_are_borne() {
        assert_eq!(check("nvjpegDecode", 0), Ok(()));
        let error = check("nvjpegCreateEx", 6).expect_err("it failed");
        assert_eq!(
            error.to_string(),
            "nvJPEG: nvjpegCreateEx failed with NVJPEG_STATUS_EXECUTION_FAILED (6)"
        );
        assert_eq!(name(99), "a status without a name");
        let borne: Vec<_> = (0..12).filter(|&status| is_refusal("nvjpegDecode", status)).collect();
        // Without memory (5) the processor's decoder takes the image; a failed execution (6) may be a lost GPU.
        assert_eq!(borne, [2, 3, 4, 5, 7, 8, 9, 10]);
    }
}
