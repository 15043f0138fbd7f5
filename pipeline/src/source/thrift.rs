//! A look at Thrift before the Parquet reader parses it: footers, page headers, offset indexes.
//!
//! The reader skips what it does not know element by element, and believes how many there are. A list of booleans
//! takes no bytes there, so that a dozen bytes keep it busy for minutes. Here every collection is held against the
//! bytes that are left, and every field against the type that the format gives it, as the reader takes fields that
//! it knows for what they should be. What passes is parsed in time that follows from its length. Found by fuzzing.

/// How deep structs and collections may lie in one another. The format itself needs seven levels.
const MAX_DEPTH: u32 = 16;

/// Why bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// They end too soon.
    Short,
    /// They are not what the format allows.
    Wrong(String),
}

impl Problem {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Short => "it ends too soon".to_owned(),
            Self::Wrong(problem) => problem.clone(),
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    I8,
    /// Of 16, 32 or 64 bits: the same bytes, but the types are told apart.
    Int(u8),
    Double,
    Binary,
    Struct(Fields),
    List(&'static Kind),
}

/// The fields of a struct that the reader knows, by number.
type Fields = &'static [(i16, Kind)];

const I16: Kind = Kind::Int(4);
const I32: Kind = Kind::Int(5);
const I64: Kind = Kind::Int(6);
const EMPTY: Kind = Kind::Struct(&[]);

const KEY_VALUE: Kind = Kind::Struct(&[(1, Kind::Binary), (2, Kind::Binary)]);
const TIME_UNIT: Kind = Kind::Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
const TIME: Kind = Kind::Struct(&[(1, Kind::Bool), (2, TIME_UNIT)]);
const LOGICAL_TYPE: Kind = Kind::Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Kind::Struct(&[(1, I32), (2, I32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Kind::Struct(&[(1, Kind::I8), (2, Kind::Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Kind::Struct(&[(1, Kind::I8)])),
    (17, Kind::Struct(&[(1, Kind::Binary)])),
    (18, Kind::Struct(&[(1, Kind::Binary), (2, I32)])),
]);
const SCHEMA_ELEMENT: Kind = Kind::Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Kind::Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const STATISTICS: Kind = Kind::Struct(&[
    (1, Kind::Binary),
    (2, Kind::Binary),
    (3, I64),
    (4, I64),
    (5, Kind::Binary),
    (6, Kind::Binary),
    (7, Kind::Bool),
    (8, Kind::Bool),
    (9, I64),
]);
const SIZE_STATISTICS: Kind =
    Kind::Struct(&[(1, I64), (2, Kind::List(&I64)), (3, Kind::List(&I64))]);
const BOX: Kind = Kind::Struct(&[
    (1, Kind::Double),
    (2, Kind::Double),
    (3, Kind::Double),
    (4, Kind::Double),
    (5, Kind::Double),
    (6, Kind::Double),
    (7, Kind::Double),
    (8, Kind::Double),
]);
const ENCODING_STATISTICS: Kind = Kind::Struct(&[(1, I32), (2, I32), (3, I32)]);
const COLUMN_METADATA: Kind = Kind::Struct(&[
    (1, I32),
    (2, Kind::List(&I32)),
    (3, Kind::List(&Kind::Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, Kind::List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, Kind::List(&ENCODING_STATISTICS)),
    (14, I64),
    (15, I32),
    (16, SIZE_STATISTICS),
    (17, Kind::Struct(&[(1, BOX), (2, Kind::List(&I32))])),
]);
const COLUMN_CHUNK: Kind = Kind::Struct(&[
    (1, Kind::Binary),
    (2, I64),
    (3, COLUMN_METADATA),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (8, Kind::Struct(&[])),
    (9, Kind::Binary),
]);
const SORTING_COLUMN: Kind = Kind::Struct(&[(1, I32), (2, Kind::Bool), (3, Kind::Bool)]);
const ROW_GROUP: Kind = Kind::Struct(&[
    (1, Kind::List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, Kind::List(&SORTING_COLUMN)),
    (5, I64),
    (6, I64),
    (7, I16),
]);
const COLUMN_ORDER: Kind = Kind::Struct(&[(1, EMPTY), (2, EMPTY)]);

/// What stands before the last eight bytes of a file.
const FOOTER: Fields = &[
    (1, I32),
    (2, Kind::List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, Kind::List(&ROW_GROUP)),
    (5, Kind::List(&KEY_VALUE)),
    (6, Kind::Binary),
    (7, Kind::List(&COLUMN_ORDER)),
    (8, Kind::Struct(&[])),
    (9, Kind::Binary),
];
/// What stands before each page.
const PAGE_HEADER: Fields = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Kind::Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (6, EMPTY),
    (7, Kind::Struct(&[(1, I32), (2, I32), (3, Kind::Bool)])),
    (
        8,
        Kind::Struct(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, I32),
            (6, I32),
            (7, Kind::Bool),
            (8, STATISTICS),
        ]),
    ),
];
const PAGE_LOCATION: Kind = Kind::Struct(&[(1, I64), (2, I32), (3, I64)]);
/// Where the pages of a column lie.
const OFFSET_INDEX: Fields = &[(1, Kind::List(&PAGE_LOCATION)), (2, Kind::List(&I64))];

/// Looks at the footer of a file, without its last eight bytes.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), Problem> {
    Walk { left: bytes }.fields(FOOTER, MAX_DEPTH)
}

/// Looks at the page header that `bytes` begin with.
pub(super) fn check_page_header(bytes: &[u8]) -> Result<(), Problem> {
    Walk { left: bytes }.fields(PAGE_HEADER, MAX_DEPTH)
}

/// Looks at the offset index of a column.
pub(super) fn check_offset_index(bytes: &[u8]) -> Result<(), Problem> {
    Walk { left: bytes }.fields(OFFSET_INDEX, MAX_DEPTH)
}

/// Types as the compact protocol numbers them.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8_TYPE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

impl Kind {
    fn is(self, found: u8) -> bool {
        match self {
            Self::Bool => found == TRUE || found == FALSE,
            Self::I8 => found == I8_TYPE,
            Self::Int(kind) => found == kind,
            Self::Double => found == DOUBLE,
            Self::Binary => found == BINARY,
            Self::Struct(_) => found == STRUCT,
            Self::List(_) => found == LIST,
        }
    }
}

struct Walk<'a> {
    left: &'a [u8],
}

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8, Problem> {
        let (&byte, rest) = self.left.split_first().ok_or(Problem::Short)?;
        self.left = rest;
        Ok(byte)
    }

    fn skip(&mut self, length: u64) -> Result<(), Problem> {
        let length = usize::try_from(length).map_err(|_| Problem::Short)?;
        self.left = self.left.get(length..).ok_or(Problem::Short)?;
        Ok(())
    }

    fn number(&mut self) -> Result<u64, Problem> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Problem::Wrong("a number of more than ten bytes".to_owned()))
    }

    /// A struct, field by field, with those that are known by their types.
    fn fields(&mut self, known: Fields, depth: u32) -> Result<(), Problem> {
        let mut last = 0i16;
        loop {
            let head = self.byte()?;
            let found = head & 0x0f;
            if found == 0 {
                return Ok(());
            }
            last = match head >> 4 {
                0 => {
                    let number = self.number()?;
                    ((number >> 1) as i64 ^ -((number & 1) as i64)) as i16
                }
                step => last
                    .checked_add(i16::from(step))
                    .ok_or_else(|| Problem::Wrong("fields beyond the last number".to_owned()))?,
            };
            match known.iter().find(|(number, _)| *number == last) {
                Some((_, kind)) if kind.is(found) => self.value(found, Some(*kind), depth)?,
                Some(_) => {
                    return Err(Problem::Wrong(format!("field {last} is of type {found}")));
                }
                None => self.value(found, None, depth)?,
            }
        }
    }

    /// A field's value.
    fn value(&mut self, found: u8, kind: Option<Kind>, depth: u32) -> Result<(), Problem> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| Problem::Wrong(format!("more than {MAX_DEPTH} levels")))?;
        match found {
            TRUE | FALSE => Ok(()),
            I8_TYPE => self.skip(1),
            4..=6 => self.number().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.number()?;
                self.skip(length)
            }
            LIST | SET => self.list(kind, depth),
            MAP => self.map(depth),
            STRUCT => match kind {
                Some(Kind::Struct(fields)) => self.fields(fields, depth),
                _ => self.fields(&[], depth),
            },
            UUID => self.skip(16),
            _ => Err(Problem::Wrong(format!("type {found} is none of Thrift's"))),
        }
    }

    fn list(&mut self, kind: Option<Kind>, depth: u32) -> Result<(), Problem> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(()); // as some writers say that a list is empty
        }
        let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
        self.count(count, &[head & 0x0f])?;
        let of = match kind {
            Some(Kind::List(of)) if count > 0 && !of.is(head & 0x0f) => {
                return Err(Problem::Wrong(format!("a list is of type {}", head & 0x0f)));
            }
            Some(Kind::List(of)) => Some(*of),
            _ => None,
        };
        (0..count).try_for_each(|_| self.value(head & 0x0f, of, depth))
    }

    fn map(&mut self, depth: u32) -> Result<(), Problem> {
        let count = self.number()?;
        if count == 0 {
            return Ok(());
        }
        let types = self.byte()?;
        let types = [types >> 4, types & 0x0f];
        self.count(count, &types)?;
        (0..count)
            .try_for_each(|_| types.iter().try_for_each(|&kind| self.value(kind, None, depth)))
    }

    /// Whether so many elements can be there at all.
    fn count(&self, count: u64, types: &[u8]) -> Result<(), Problem> {
        // The format has none here, and whether they take a byte is a matter of opinion among readers.
        if count > 0 && types.iter().any(|kind| matches!(*kind, TRUE | FALSE)) {
            return Err(Problem::Wrong(format!("a collection of {count} booleans")));
        }
        let least = |kind: &u8| match *kind {
            DOUBLE => 8,
            UUID => 16,
            _ => 1u64,
        };
        let needed = count.saturating_mul(types.iter().map(least).sum());
        if needed > self.left.len() as u64 {
            let left = self.left.len();
            return Err(Problem::Wrong(format!("a collection of {count} in {left} bytes")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(result: Result<(), Problem>) -> String {
        match result {
            Err(Problem::Wrong(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_header_may_hold_what_this_version_does_not_know() {
        // Type, both sizes, the header of a data page with an unknown struct, list, map and number.
        let bytes = [
            0x15, 0, 0x15, 8, 0x15, 8, 0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, // known
            0x6c, 0x15, 2, 0x18, 2, b'a', b'b', 0, // field 11: a struct
            0x19, 0x25, 2, 4, 0x1b, 1, 0x85, 1, b'k', 2, 0x16, 0x80, 1,
            0, // list, map, number
        ];
        check_page_header(&bytes).unwrap();
        for length in 0..bytes.len() {
            // A collection that was cut off cannot hold its elements.
            assert!(check_page_header(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(check_page_header(&bytes[..9]), Err(Problem::Short));
    }

    #[test]
    fn collections_that_cannot_be_there_are_refused_at_once() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x07]; // 2^31 - 1
        for kind in [0xf1, 0xf2, 0xf3, 0xf5, 0xf7, 0xf8, 0xf9, 0xfc, 0xfd] {
            let bytes = [&[0xf9, kind], &huge[..], &[0; 40]].concat();
            assert!(wrong(check_page_header(&bytes)).contains("a collection of 2147483647"));
        }
        let bytes = [&[0xfb], &huge[..], &[0x11], &[0; 40]].concat();
        assert!(wrong(check_page_header(&bytes)).contains("2147483647 booleans"));
        // Fifteen within fifteen within ... : bounded by the depth.
        let bytes = [&[0xf9], &[0xe9; 200][..]].concat();
        assert!(wrong(check_page_header(&bytes)).contains("levels"));
    }

    /// The reader takes a field that it knows for what it should be; so does this.
    #[test]
    fn fields_of_another_type_are_refused() {
        assert!(wrong(check_page_header(&[0x1c, 0, 0])).contains("field 1 is of type 12"));
        assert!(wrong(check_footer(&[0x29, 0x15, 2, 0])).contains("a list is of type 5"));
        assert!(wrong(check_offset_index(&[0x19, 0x1c, 0x15, 0, 0, 0])).contains("field 1"));
    }
}
