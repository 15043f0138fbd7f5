//! Marker segments that a scan needs: quantisation and Huffman tables, frame, restart interval, scan header.

use super::block::Steps;
use super::huffman::{Class, Huffman};

/// Tables by their number in the file, kept from image to image since most files have the same.
pub(super) struct Tables {
    pub(super) dc: [Huffman; 4],
    pub(super) ac: [Huffman; 4],
    pub(super) steps: [Steps; 4],
}

impl Default for Tables {
    fn default() -> Self {
        let huffman = |class| [(); 4].map(|()| Huffman::new(class));
        let steps = [Steps::new(&[0; 64]); 4];
        Self { dc: huffman(Class::Dc), ac: huffman(Class::Ac), steps }
    }
}

/// A component of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    /// Blocks of a unit beside and below one another.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Numbers of the tables.
    pub(super) steps: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    components: [Component; 3],
    num_components: usize,
    /// Units between restart markers, 0 for none.
    pub(super) restart_interval: usize,
    /// Where its data begin.
    pub(super) data: usize,
}

impl Scan {
    pub(super) fn components(&self) -> &[Component] {
        &self.components[..self.num_components]
    }

    /// Reads the segments of a file in order (see `JpegHeader::regular`), whose first scan begins at
    /// `first_scan`. `None` if there is anything in them that is left to the reference decoder.
    pub(super) fn read(encoded: &[u8], first_scan: usize, tables: &mut Tables) -> Option<Self> {
        let mut components = [Component::default(); 3];
        let (mut num_components, mut restart_interval) = (0, 0);
        // Tables of an earlier image are none of this one.
        let (mut steps, mut dc, mut ac) = ([false; 4], [false; 4], [false; 4]);
        let mut at = 2;
        loop {
            let &[0xFF, marker, high, low] = encoded.get(at..)?.first_chunk::<4>()? else {
                return None;
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let mut segment = encoded.get(at + 4..end)?;
            match marker {
                0xDB => {
                    while let Some((&number, rest)) = segment.split_first() {
                        let (table, rest) = rest.split_first_chunk::<64>()?;
                        // Numbers from 16 on are tables of 16-bit steps.
                        *steps.get_mut(usize::from(number))? = true;
                        tables.steps[usize::from(number)] = Steps::new(table);
                        segment = rest;
                    }
                }
                0xC4 => {
                    while let Some((&number, rest)) = segment.split_first() {
                        let counts = rest.first_chunk::<16>()?;
                        let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
                        let (definition, rest) = rest.split_at_checked(16 + symbols)?;
                        let (known, all) = match number >> 4 {
                            0 => (&mut dc, &mut tables.dc),
                            1 => (&mut ac, &mut tables.ac),
                            _ => return None,
                        };
                        let number = usize::from(number & 15);
                        *known.get_mut(number)? = true;
                        all[number].set(definition)?;
                        segment = rest;
                    }
                }
                0xC0 | 0xC1 => {
                    let (head, specs) = segment.split_first_chunk::<6>()?;
                    num_components = usize::from(head[5]);
                    let specs = specs.as_chunks::<3>().0.get(..num_components)?;
                    for (component, &[id, factors, number]) in
                        components.get_mut(..num_components)?.iter_mut().zip(specs)
                    {
                        let (across, down) = (usize::from(factors >> 4), usize::from(factors & 15));
                        let steps = usize::from(number);
                        *component = Component { id, across, down, steps, dc: 0, ac: 0 };
                    }
                }
                0xDD => restart_interval = usize::from(u16::from_be_bytes(*segment.first_chunk()?)),
                0xDA => {
                    if at != first_scan || num_components == 0 {
                        return None;
                    }
                    let (&count, rest) = segment.split_first()?;
                    let specs = rest.as_chunks::<2>().0.get(..num_components)?;
                    let parameters = rest.get(2 * num_components..)?;
                    if usize::from(count) != num_components || parameters != [0, 63, 0] {
                        return None;
                    }
                    for (component, &[id, numbers]) in components.iter_mut().zip(specs) {
                        (component.dc, component.ac) =
                            (usize::from(numbers >> 4), usize::from(numbers & 15));
                        let known = *steps.get(component.steps)?
                            && *dc.get(component.dc)?
                            && *ac.get(component.ac)?;
                        if !known || id != component.id {
                            return None;
                        }
                    }
                    if num_components == 1 {
                        // It is coded block by block, whatever its factors.
                        (components[0].across, components[0].down) = (1, 1);
                    }
                    return Some(Self { components, num_components, restart_interval, data: end });
                }
                0xE0..=0xEF | 0xFE => {}
                _ => return None,
            }
            at = end;
        }
    }
}
