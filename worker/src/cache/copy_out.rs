//! Rows as PostgreSQL's binary COPY gives them.

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags and the length of the header's extension.
const HEADER: usize = SIGNATURE.len() + 8;

/// The bytes are not what PostgreSQL documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PostgreSQL's copy {0}")]
pub(crate) struct Malformed(&'static str);

/// Takes in the bytes of a copy as they come and gives its rows.
pub(crate) struct CopiedRows {
    bytes: Vec<u8>,
    at: usize,
    columns: usize,
    begun: bool,
    ended: bool,
}

/// The cells of one row; none is null.
pub(crate) struct Cells<'a>(&'a [u8]);

impl<'a> Cells<'a> {
    /// The bytes of those that are left, each with its length before it.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl CopiedRows {
    /// Expects rows of so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, columns, begun: false, ended: false }
    }

    /// Takes in further bytes, wherever they were cut.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next row that is there as a whole.
    #[expect(clippy::indexing_slicing, reason = "both places were counted in these bytes")]
    pub(crate) fn next(&mut self) -> Result<Option<Cells<'_>>, Malformed> {
        if !self.begun && !self.begin()? {
            return Ok(None);
        }
        let rest = &self.bytes[self.at..];
        let Some((count, mut cells)) = rest.split_first_chunk() else { return Ok(None) };
        match i16::from_be_bytes(*count) {
            -1 => {
                self.ended = true;
                return Ok(None);
            }
            count if usize::try_from(count) == Ok(self.columns) => {}
            _ => return Err(Malformed("has rows of another width")),
        }
        let begin = self.at + 2;
        for _ in 0..self.columns {
            let Some((length, tail)) = cells.split_first_chunk() else { return Ok(None) };
            let length = i32::from_be_bytes(*length);
            let Some(tail) = tail.get(usize::try_from(length).unwrap_or(0)..) else { return Ok(None) };
            cells = tail;
        }
        self.at = self.bytes.len() - cells.len();
        Ok(Some(Cells(&self.bytes[begin..self.at])))
    }

    /// Makes sure that the copy has come to its end.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.ended { Ok(()) } else { Err(Malformed("ended in the middle")) }
    }

    fn begin(&mut self) -> Result<bool, Malformed> {
        let Some(header) = self.bytes.get(..HEADER) else { return Ok(false) };
        if !header.starts_with(SIGNATURE) {
            return Err(Malformed("has another signature"));
        }
        let Some((_, extension)) = header.split_last_chunk() else { return Ok(false) };
        let end = HEADER + u32::from_be_bytes(*extension) as usize;
        if self.bytes.len() < end {
            return Ok(false);
        }
        (self.at, self.begun) = (end, true);
        Ok(true)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        let (cell, rest) = rest.split_at_checked(usize::try_from(length).unwrap_or(0))?;
        self.0 = rest;
        Some((length >= 0).then_some(cell))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn copy(rows: &[[Option<&[u8]>; 2]]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0; 8]].concat();
        for row in rows {
            bytes.extend(2_i16.to_be_bytes());
            for cell in row {
                bytes.extend(cell.map_or(-1, |cell| cell.len() as i32).to_be_bytes());
                bytes.extend(cell.unwrap_or_default());
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    #[test]
    fn a_copy_that_stops_early_or_is_of_another_width_is_refused() {
        let whole = copy(&[[Some(b"a"), None]]);
        let mut rows = CopiedRows::new(2);
        rows.push(&whole[..whole.len() - 2]);
        assert!(rows.next().unwrap().is_some());
        assert!(rows.next().unwrap().is_none());
        assert_eq!(rows.finish(), Err(Malformed("ended in the middle")));
        let mut rows = CopiedRows::new(3);
        rows.push(&whole);
        assert!(rows.next().is_err());
    }

    proptest! {
        #[test]
        fn rows_come_out_whole_wherever_the_bytes_are_cut(
            rows in prop::collection::vec((prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), any::<u8>()), 0..9),
            step in 1_usize..50,
        ) {
            let last: Vec<[u8; 1]> = rows.iter().map(|row| [row.1]).collect();
            let given: Vec<[Option<&[u8]>; 2]> =
                rows.iter().zip(&last).map(|(row, last)| [row.0.as_deref(), Some(last.as_slice())]).collect();
            let (mut copied, mut got) = (CopiedRows::new(2), Vec::new());
            for bytes in copy(&given).chunks(step) {
                copied.push(bytes);
                while let Some(cells) = copied.next().unwrap() {
                    got.push(cells.map(|cell| cell.map(<[u8]>::to_vec)).collect::<Vec<_>>());
                }
            }
            copied.finish().unwrap();
            let given: Vec<Vec<Option<Vec<u8>>>> =
                given.iter().map(|row| row.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect()).collect();
            prop_assert_eq!(got, given);
        }
    }
}
