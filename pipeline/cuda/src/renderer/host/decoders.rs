//! Decoders of the device that is memory of the processor: the pipeline's, with what is made of their behaviour.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};

use super::super::{BatchDecoder, SingleDecoder};
use super::{Behaviour, Log, bytes_of};
use crate::CudaError;
use crate::kernels::Surface;
use crate::nvjpeg::Begun;

pub(super) struct Decoder {
    behaviour: Behaviour,
    decoder: Box<dyn smog_pipeline::codec::ImageDecoder>,
    pixels: Pixels,
}

impl Decoder {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let decoder = decoder(DecoderKind::TurboJpeg, DecodeLimits::default());
        Self { behaviour, decoder, pixels: Pixels::default() }
    }

    fn decode_at_once(&mut self, encoded: &[u8], surface: &Surface) -> Result<bool, CudaError> {
        if self.behaviour.refuses_comments && encoded[3] == 0xFE {
            return Ok(false);
        }
        let Ok(meta) = probe(encoded) else { return Ok(false) };
        assert_eq!((meta.width, meta.height), (surface.width, surface.height));
        if self.decoder.decode(encoded, &meta, &DecodeRequest::WHOLE, &mut self.pixels).is_err() {
            return Ok(false);
        }
        // SAFETY: the caller holds the lease of the surface.
        unsafe { bytes_of(surface) }.copy_from_slice(&self.pixels.data);
        Ok(true)
    }
}

impl SingleDecoder for Decoder {
    fn decode(&mut self, encoded: &[u8], surface: &Surface) -> Result<bool, CudaError> {
        std::thread::sleep(self.behaviour.image_takes);
        self.decode_at_once(encoded, surface)
    }

    fn upload(&mut self, pixels: &[u8], surface: &Surface) -> Result<(), CudaError> {
        std::thread::sleep(self.behaviour.image_takes);
        // SAFETY: the caller holds the lease of the surface.
        unsafe { bytes_of(surface) }.copy_from_slice(pixels);
        Ok(())
    }
}

pub(super) struct EngineDecoder {
    single: Decoder,
    max_images: usize,
    /// Whether each batch under way is whole.
    busy: VecDeque<bool>,
    log: Arc<Log>,
    made: Instant,
}

impl EngineDecoder {
    pub(super) fn new(behaviour: Behaviour, max_images: usize, log: Arc<Log>) -> Self {
        let (single, made) = (Decoder::new(behaviour), Instant::now());
        Self { single, max_images, busy: VecDeque::new(), log, made }
    }
}

impl BatchDecoder for EngineDecoder {
    fn max_images(&self) -> usize {
        self.max_images
    }

    fn max_bytes(&self) -> usize {
        64 << 10
    }

    fn takes(&mut self, _encoded: &[u8], _width: u32, _height: u32) -> Result<bool, CudaError> {
        Ok(true)
    }

    fn begin(&mut self, batch: &[(&[u8], Surface)]) -> Result<Begun, CudaError> {
        assert!(batch.len() <= self.max_images && self.busy.len() < 2);
        let number = self.log.batches.fetch_add(1, SeqCst) + 1;
        let mut whole = number.is_multiple_of(self.single.behaviour.engines_take_one_of);
        for (encoded, surface) in batch {
            whole &= self.single.decode_at_once(encoded, surface)?;
        }
        if whole || self.single.behaviour.fails_late {
            self.busy.push_back(whole);
            self.log.most_busy.fetch_max(self.busy.len() as u32, SeqCst);
            return Ok(Begun::UnderWay);
        }
        Ok(Begun::Refused(CudaError::Nvjpeg {
            what: "nvjpegDecodeBatched",
            status: 8,
            name: "NVJPEG_STATUS_INTERNAL_ERROR",
        }))
    }

    fn finish(&mut self) -> Result<bool, CudaError> {
        let Behaviour { engines_lag, batch_takes, .. } = self.single.behaviour;
        std::thread::sleep(if engines_lag { self.made.elapsed() } else { batch_takes });
        Ok(self.busy.pop_front().expect("a batch is under way"))
    }
}
