//! Mirror left and right.

/// Exchanges left and right in place. `side` is the width of the view in pixels.
pub(crate) fn horizontal(view: &mut [u8], side: u32) {
    for row in view.chunks_exact_mut(3 * side as usize) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn pixels_change_sides_and_keep_their_colours() {
        let mut view: Vec<u8> = (0..27).collect();
        super::horizontal(&mut view, 3);
        assert_eq!(view[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        assert_eq!(view[9..12], [15, 16, 17]);
    }
}
