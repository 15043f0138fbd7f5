//! A view as three planes while colours are changed.
//!
//! Views begin and end as RGB8 rows, but there every kernel would have to take pixels apart. With one byte
//! plane per colour they are plain loops over slices, which the compiler turns into vector code.

/// Red, green and blue of a square view, each `side * side` bytes.
#[derive(Default)]
pub(crate) struct Planes {
    pub(crate) side: usize,
    pub(crate) red: Vec<u8>,
    pub(crate) green: Vec<u8>,
    pub(crate) blue: Vec<u8>,
}

impl Planes {
    /// Takes a view apart.
    pub(crate) fn read(&mut self, view: &[u8], side: u32) {
        self.side = side as usize;
        let num_pixels = self.side * self.side;
        for plane in [&mut self.red, &mut self.green, &mut self.blue] {
            plane.resize(num_pixels, 0);
        }
        let (pixels, _) = view.as_chunks::<3>();
        let planes = self.red.iter_mut().zip(&mut self.green).zip(&mut self.blue);
        for (((red, green), blue), pixel) in planes.zip(pixels) {
            [*red, *green, *blue] = *pixel;
        }
    }

    /// Puts it together again.
    pub(crate) fn write(&self, view: &mut [u8]) {
        let (pixels, _) = view.as_chunks_mut::<3>();
        let planes = self.red.iter().zip(&self.green).zip(&self.blue);
        for (pixel, ((&red, &green), &blue)) in pixels.iter_mut().zip(planes) {
            *pixel = [red, green, blue];
        }
    }

    /// All three planes.
    pub(crate) fn each(&mut self) -> [&mut Vec<u8>; 3] {
        [&mut self.red, &mut self.green, &mut self.blue]
    }
}
