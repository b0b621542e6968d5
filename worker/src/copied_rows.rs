//! Rows as PostgreSQL's binary COPY gives them.

use shared::amount::{Amount, SCALE};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags and the length of the header's extension.
const HEADER: usize = SIGNATURE.len() + 8;
/// A numeric's digits are of base 10,000.
const DIGIT: i128 = 10_000;
/// The digits of that base after the point.
const FRACTION: i16 = SCALE as i16 / 4;
const NEGATIVE: u16 = 0x4000;

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

/// Reads a `numeric` exactly, or returns none if it is no amount.
pub(crate) fn amount(bytes: &[u8]) -> Option<Amount> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight, sign) = (usize::from(word(0)), word(2).cast_signed(), word(4));
    if digits.len() != count * 2 || (sign != 0 && sign != NEGATIVE) {
        return None;
    }
    let mut units = 0_i128;
    let mut place = weight.checked_add(FRACTION)?;
    for digit in digits.chunks_exact(2) {
        let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
        if place >= 0 {
            units = units.checked_mul(DIGIT)?.checked_add(digit)?;
        } else if digit != 0 {
            return None;
        }
        place = place.checked_sub(1)?;
    }
    // PostgreSQL leaves out zeros at the end; `place` is that of the first digit left out.
    if units != 0 && place >= 0 {
        units = units.checked_mul(DIGIT.checked_pow(u32::try_from(place).ok()? + 1)?)?;
    }
    Amount::from_units(if sign == NEGATIVE { -units } else { units })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL's `numeric_send` makes of a plain decimal.
    fn numeric(text: &str) -> Vec<u8> {
        let (sign, text) = text.strip_prefix('-').map_or((0, text), |text| (NEGATIVE, text));
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let integer = format!("{}{integer}", "0".repeat((4 - integer.len() % 4) % 4));
        let scale = fraction.len() as u16;
        let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        let mut digits: Vec<u16> = format!("{integer}{fraction}")
            .as_bytes()
            .chunks(4)
            .map(|d| str::from_utf8(d).unwrap().parse().unwrap())
            .collect();
        let mut weight = integer.len() as i16 / 4 - 1;
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            weight = 0;
        }
        let words = [digits.len() as u16, weight.cast_unsigned(), sign, scale].into_iter().chain(digits);
        words.flat_map(u16::to_be_bytes).collect()
    }

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
    fn what_is_no_amount_is_told_apart() {
        assert_eq!(amount(&numeric("0")), Some(Amount::ZERO));
        assert_eq!(amount(&numeric("999999999999999999.9999999999999999")).unwrap().to_string().len(), 35);
        assert_eq!(amount(&numeric("1000000000000000000")), None, "too large");
        assert_eq!(amount(&numeric("0.00000000000000001")), None, "too precise");
        assert_eq!(amount(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None, "not a number");
        assert_eq!(amount(&[0, 0, 0, 0, 0xd0, 0, 0, 0]), None, "infinite");
        assert_eq!(amount(&[0, 1, 0, 0, 0, 0, 0, 0]), None, "cut off");
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
        fn every_amount_is_read_as_it_was_written(units in (1 - 10_i128.pow(34))..10_i128.pow(34), shift in 0_u32..34) {
            let units = units / 10_i128.pow(shift);
            let written = Amount::from_units(units).unwrap();
            prop_assert_eq!(amount(&numeric(&written.to_string())), Some(written));
        }

        #[test]
        fn bytes_that_are_no_numeric_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = amount(&bytes);
        }

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
