//! Huffman codes: tables that give a code and the length of the value behind it in one look-up.

/// Bits of the scan that index a table: few codes are longer, and all tables stay in the fastest cache.
pub(super) const WINDOW: u32 = 9;

/// Advance of the end of a block: past every coefficient from anywhere.
pub(super) const END: u32 = 64;

/// A code and the value that follows it, made for few instructions. From bit 0 on: the bits of both, by how much
/// to go on, the bits of the code, 63 less the bits of the value (8 bits each, the lowest six of which the shift of
/// a register takes); from bit 48 on what to add to a value that begins with 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    /// The code is longer than the window, or there is none.
    const LONG: Self = Self(0);

    fn new(length: u32, advance: u32, size: u32) -> Self {
        // Values that begin with 0 are negative (T.81, table F.1).
        let offset = (1 - (1i64 << size)) << 48;
        let [bits, advance, length, rest] =
            [length + size, advance, length, 63 - size].map(u64::from);
        Self(offset as u64 | rest << 24 | length << 16 | advance << 8 | bits)
    }

    #[inline(always)]
    pub(super) fn is_long(self) -> bool {
        self.0 == 0
    }

    /// Bits of the code and its value, in the lowest six bits; the others are something else.
    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(super) fn advance(self) -> u32 {
        (self.0 >> 8) as u32 & 0xFF
    }

    /// The value, out of bits that begin with the code; 0 where it has no bits.
    #[inline(always)]
    pub(super) fn value(self, bits: u64) -> i32 {
        let bits = bits.wrapping_shl((self.0 >> 16) as u32);
        let value = (bits >> 1).wrapping_shr((self.0 >> 24) as u32);
        let offset = (self.0 as i64 >> 48) & !(bits as i64 >> 63);
        (value as i64 + offset) as i32
    }
}

/// What a table is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Dc,
    Ac,
}

/// One code with its look-up table.
pub(super) struct Huffman {
    /// Counts by length, then symbols, as in the file: tells whether a table has to be made anew.
    definition: Vec<u8>,
    class: Class,
    pub(super) entries: Box<[Entry; 1 << WINDOW]>,
    /// By length: the first code that is longer, at the top of 16 bits.
    limits: [u32; 17],
    /// By length: what to add to a code for the place of its symbol.
    places: [i32; 17],
}

impl Huffman {
    /// A table that fits no code.
    pub(super) fn new(class: Class) -> Self {
        let entries = vec![Entry::LONG; 1 << WINDOW].try_into().unwrap_or_else(|_| unreachable!());
        Self { definition: Vec::new(), class, entries, limits: [0; 17], places: [0; 17] }
    }

    /// Takes up a code: 16 counts, then the symbols. `None` if it is none; the table must not be used then.
    pub(super) fn set(&mut self, definition: &[u8]) -> Option<()> {
        if self.definition == definition {
            return Some(());
        }
        // Until the end nothing may pass for this definition.
        self.definition.clear();
        let (counts, symbols) = definition.split_first_chunk::<16>()?;
        self.entries.fill(Entry::LONG);
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            self.places[length as usize] = place as i32 - code as i32;
            for &symbol in symbols.get(place..place + count as usize)? {
                self.enter(code, length, symbol)?;
                code += 1;
            }
            place += count as usize;
            // Codes of ones only are left out by encoders, not forbidden; more than fit are.
            if code > 1 << length {
                return None;
            }
            self.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        self.definition.extend_from_slice(definition);
        Some(())
    }

    fn enter(&mut self, code: u32, length: u32, symbol: u8) -> Option<()> {
        let entry = self.entry(length, symbol)?;
        if code >= 1 << length {
            return None;
        }
        if length <= WINDOW {
            let rest = WINDOW - length;
            self.entries[(code << rest) as usize..][..1 << rest].fill(entry);
        }
        Some(())
    }

    /// `None` for values that 8-bit pictures do not have: two codes with theirs must fit 56 bits.
    fn entry(&self, length: u32, symbol: u8) -> Option<Entry> {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let (advance, most) = match self.class {
            Class::Dc if run > 0 => return None,
            Class::Dc => (0, 11),
            // As libjpeg: every run but the longest ends the block where no value follows.
            Class::Ac if size == 0 && run < 15 => (END, 0),
            Class::Ac => (run + 1, 10),
        };
        (size <= most).then(|| Entry::new(length, advance, size))
    }

    /// The entry of a code that is longer than the window, from the next 16 bits.
    #[cold]
    pub(super) fn long(&self, next: u32) -> Option<Entry> {
        let length = (WINDOW + 1..=16).find(|&length| next < self.limits[length as usize])?;
        let place = (next >> (16 - length)) as i32 + self.places[length as usize];
        let symbol = *self.definition.get(16 + usize::try_from(place).ok()?)?;
        self.entry(length, symbol)
    }
}
