//! Entropy-coded data: taken out of its marker-proof form, then read bit by bit.

use std::ops::Range;

/// Zeros behind a scan, more than the longest block and one load take: 64 values of at most 27 bits.
const PADDING: usize = 256;

/// The bytes of a scan without stuffing, and the intervals between its restart markers.
#[derive(Default)]
pub(super) struct ScanData {
    /// With [`PADDING`] at the end.
    bytes: Vec<u8>,
    intervals: Vec<Range<usize>>,
}

impl ScanData {
    /// Reads `encoded`, which begins behind the header of the scan, up to the end marker. `None` where
    /// restart markers are out of turn or anything else is unusual.
    pub(super) fn read(&mut self, encoded: &[u8]) -> Option<()> {
        self.bytes.clear();
        self.bytes.reserve(encoded.len());
        self.intervals.clear();
        let (mut at, mut start) = (0, 0);
        loop {
            let marker = at + memchr::memchr(0xFF, &encoded[at..])?;
            let code = *encoded.get(marker + 1)?;
            if code == 0 {
                self.bytes.extend_from_slice(&encoded[at..=marker]);
            } else {
                self.bytes.extend_from_slice(&encoded[at..marker]);
                self.intervals.push(start..self.bytes.len());
                start = self.bytes.len();
                match code {
                    0xD0..=0xD7 if usize::from(code & 7) == (self.intervals.len() - 1) & 7 => {}
                    0xD9 => {
                        self.bytes.resize(self.bytes.len() + PADDING, 0);
                        return Some(());
                    }
                    // Markers that are not in turn, fill bytes, more scans.
                    _ => return None,
                }
            }
            at = marker + 2;
        }
    }

    /// The data between two restart markers.
    pub(super) fn interval(&self, number: usize) -> Option<BitReader<'_>> {
        let interval = self.intervals.get(number)?;
        let (end, at) = (interval.end, interval.start);
        Some(BitReader { bytes: &self.bytes, end, at, buffer: 0, count: 0 })
    }

    pub(super) fn num_intervals(&self) -> usize {
        self.intervals.len()
    }
}

/// Reads from the most significant bit on. Past the end of its interval it gives whatever follows;
/// [`overrun`](Self::overrun) has to be asked after each block.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    end: usize,
    /// The next byte to load. Not past `end` by more than a block takes.
    at: usize,
    /// The next bits, at the top; `count` of them are sure, those below are right or 0.
    buffer: u64,
    count: u32,
}

impl BitReader<'_> {
    /// Makes sure of 56 bits. Without a branch on how many there are: it could not be foreseen.
    ///
    /// # Safety
    /// There was no [`overrun`](Self::overrun) before this block, and it has not taken more than a block can.
    #[inline(always)]
    pub(super) unsafe fn refill(&mut self) {
        debug_assert!(self.at + 8 <= self.bytes.len());
        // SAFETY: `PADDING` follows the end, and is more than a block can take.
        let next = unsafe { self.bytes.as_ptr().add(self.at).cast::<u64>().read_unaligned() };
        self.buffer |= u64::from_be(next) >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The next bits, from the highest on.
    #[inline(always)]
    pub(super) fn bits(&self) -> u64 {
        self.buffer
    }

    /// The next `count` bits, 1 to 32, as a number.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    /// Goes on by as many bits of those that are sure as the lowest six bits of `count` say.
    #[inline(always)]
    pub(super) fn consume(&mut self, count: u64) {
        self.buffer = self.buffer.wrapping_shl(count as u32);
        self.count = self.count.wrapping_sub(count as u32 & 63);
    }

    /// Whether more bits were used than the interval has.
    #[inline(always)]
    pub(super) fn overrun(&self) -> bool {
        8 * self.at > 8 * self.end + self.count as usize
    }
}
