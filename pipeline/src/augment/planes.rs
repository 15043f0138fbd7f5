//! A view as three planes while it is made.
//!
//! Views end as RGB8 rows, but there every kernel would have to take pixels apart. With one byte plane per
//! colour they are plain loops over slices, which the compiler turns into vector code.

use crate::simd::{Simd, kernel};

/// Red, green and blue of a square view, each `side * side` bytes.
#[derive(Default)]
pub(crate) struct Planes {
    pub(crate) side: usize,
    pub(crate) red: Vec<u8>,
    pub(crate) green: Vec<u8>,
    pub(crate) blue: Vec<u8>,
}

impl Planes {
    /// Sets the size; what the planes hold is whatever was there.
    pub(crate) fn resize(&mut self, side: u32) {
        self.side = side as usize;
        for plane in self.each() {
            plane.resize(side as usize * side as usize, 0);
        }
    }

    /// Takes a view apart.
    pub(crate) fn read(&mut self, simd: Simd, view: &[u8], side: u32) {
        self.resize(side);
        deinterleave(simd, view, &mut self.red, &mut self.green, &mut self.blue);
    }

    /// Puts it together again.
    pub(crate) fn write(&self, simd: Simd, view: &mut [u8]) {
        interleave(simd, &self.red, &self.green, &self.blue, view);
    }

    /// All three planes.
    pub(crate) fn each(&mut self) -> [&mut Vec<u8>; 3] {
        [&mut self.red, &mut self.green, &mut self.blue]
    }
}

kernel! {
    fn deinterleave(view: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
        let (pixels, _) = view.as_chunks::<3>();
        for (((red, green), blue), pixel) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
            [*red, *green, *blue] = *pixel;
        }
    }
}

kernel! {
    fn interleave(red: &[u8], green: &[u8], blue: &[u8], view: &mut [u8]) {
        let (pixels, _) = view.as_chunks_mut::<3>();
        for (((&red, &green), &blue), pixel) in red.iter().zip(green).zip(blue).zip(pixels) {
            *pixel = [red, green, blue];
        }
    }
}
