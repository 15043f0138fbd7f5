//! Who decodes an image: the JPEG engines, nvJPEG's hybrid decoder, or the processor.
//!
//! Told from the header by our own parser, since nvJPEG cannot read one without a driver, and only what is known to be
//! shown alike everywhere leaves the processor. A route never refuses anything: where something is odd the processor's
//! decoder gets the image and decides, so that refusals have one source.

use smog_pipeline::codec::{DecodeLimits, JpegColour, JpegHeader, check_jpeg};
use smog_pipeline::sample::{ImageFlags, ImageFormat, ImageMeta, Subsampling};

/// Where an image is decoded. What refuses it there passes it on to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// In a batch on the JPEG engines.
    Hardware,
    /// By nvJPEG: Huffman decoding on the processor, the rest on the GPU.
    Hybrid,
    /// By the pipeline's decoder; the pixels are copied to the GPU.
    Cpu(CpuReason),
}

/// Why the processor decodes an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuReason {
    /// PNG or WebP.
    NotJpeg,
    /// The shard says that it is damaged and was accepted so: what is missing is filled in as libjpeg-turbo does.
    Damaged,
    /// Nobody has decoded it whole before, so it may be damaged in a way that nvJPEG shows without a word.
    Unchecked,
    /// The header or the limits refuse it.
    Refused,
    /// CMYK, YCCK, or RGB that is stored as such.
    Colour,
    /// Extended sequential, components one after another, without Huffman tables of its own, or with a header that
    /// libjpeg only warns of.
    Coding,
    /// 4:1:1, 4:1:0, or sampling factors beside the usual ones.
    Subsampling,
}

/// What is done with images of which only the header was ever read: those in Parquet files and tars of others, and in
/// shards that were written with `--check header`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unchecked {
    /// The processor decodes them, so the batches are those of the CPU renderer to the last sample.
    #[default]
    Decode,
    /// They go to the GPU as others do. A damaged one may then be shown with what nvJPEG makes of it, where the CPU
    /// renderer would have put another sample in its place.
    Trust,
}

/// Decides for images of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    /// As the processor's decoder has them.
    pub limits: DecodeLimits,
    /// See there.
    pub unchecked: Unchecked,
    /// Whether there are JPEG engines.
    pub hardware: bool,
}

impl Router {
    /// The route of an image; `meta` is what its row says.
    pub fn route(&self, encoded: &[u8], meta: &ImageMeta) -> Route {
        if meta.format != ImageFormat::Jpeg {
            return Route::Cpu(CpuReason::NotJpeg);
        }
        if meta.flags.contains(ImageFlags::DAMAGED) {
            return Route::Cpu(CpuReason::Damaged);
        }
        if meta.flags.contains(ImageFlags::UNCHECKED) && self.unchecked == Unchecked::Decode {
            return Route::Cpu(CpuReason::Unchecked);
        }
        match check_jpeg(encoded, meta, self.limits) {
            Ok(header) => by_header(&header, self.hardware),
            Err(_) => Route::Cpu(CpuReason::Refused),
        }
    }
}

fn by_header(header: &JpegHeader, hardware: bool) -> Route {
    if !matches!(header.colour, JpegColour::Gray | JpegColour::YCbCr) {
        return Route::Cpu(CpuReason::Colour);
    }
    let sequential_scans = header.several_scans && !header.progressive;
    if header.extended || sequential_scans || !header.tables || header.irregular {
        return Route::Cpu(CpuReason::Coding);
    }
    let usual = match header.subsampling {
        Subsampling::None | Subsampling::S444 => (1, 1),
        Subsampling::S422 => (2, 1),
        Subsampling::S420 => (2, 2),
        Subsampling::S440 => (1, 2),
        // Colour of a quarter of the width is repeated by libjpeg-turbo; nvJPEG interpolates all colour.
        Subsampling::S411 | Subsampling::S410 | Subsampling::Other => {
            return Route::Cpu(CpuReason::Subsampling);
        }
    };
    if header.factors != usual {
        return Route::Cpu(CpuReason::Subsampling);
    }
    if hardware && !header.progressive { Route::Hardware } else { Route::Hybrid }
}

#[cfg(test)]
mod tests;
