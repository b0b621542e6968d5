//! Amounts as people and ERPs write them: `1.234,56-`, `(1,234.56)`, `1,58,837.00 Dr`.
//!
//! Every text has at most one reading for each decimal mark. Which mark a file uses is said by its
//! profile, or follows from texts that only one of them can read; nothing is guessed.

use crate::{
    amount::{Amount, InvalidAmount},
    file::mapping_profile::{AmountStyle, DecimalMark, ThousandsMark},
};

/// More bytes than any amount needs, however it is grouped and padded.
const LONGEST: usize = 256;
/// Exponents past this one leave no digit that an amount could hold.
const MAX_EXPONENT: i32 = 60;
/// Signs that mean a minus: ASCII, the mathematical one, dashes, the full-width one.
const MINUS: [char; 5] = ['-', '\u{2212}', '\u{2013}', '\u{2010}', '\u{ff0d}'];
/// Triangles with which Japanese statements mark what is negative.
const TRIANGLES: [char; 2] = ['△', '▲'];

/// Reads amounts of one style.
#[derive(Debug, Clone)]
pub struct AmountReader {
    style: AmountStyle,
    /// Marks beside the figure and whether they mean credit, longest first, in lower case.
    marks: Vec<(String, bool)>,
    plain: bool,
}

/// Which decimal marks the texts of a file allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The line of a text that only a decimal point can read.
    pub point: Option<u64>,
    /// The line of a text that only a decimal comma can read.
    pub comma: Option<u64>,
    /// The line of a text that both can read, as different amounts, and these.
    pub either: Option<(u64, Amount, Amount)>,
}

impl AmountReader {
    /// A reader of this style.
    pub fn new(style: &AmountStyle) -> Self {
        let marks = |texts: &[String], credit| {
            texts.iter().map(move |text| (text.trim().to_lowercase(), credit)).collect::<Vec<_>>()
        };
        let mut marks = [marks(&style.debit_marks, false), marks(&style.credit_marks, true)].concat();
        marks.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let plain = style.padding.is_empty() && style.empty.is_empty();
        Self { style: style.clone(), marks, plain }
    }

    /// Digits behind the decimal mark that the numbers of a workbook mean, if the profile says it.
    pub fn decimals(&self) -> Option<u8> {
        self.style.decimals
    }

    /// Reads a text whose decimal mark is this one; none if it is blank or means empty.
    ///
    /// # Errors
    /// If it is not an amount.
    pub fn read(&self, text: &str, decimal: DecimalMark) -> Result<Option<Amount>, InvalidAmount> {
        let text = text.trim();
        if self.plain && decimal == DecimalMark::Point {
            match Amount::parse(text.as_bytes()) {
                Err(InvalidAmount::NotANumber) => {}
                read => return read.map(Some),
            }
        }
        let text = text.trim_matches(|c: char| c.is_whitespace() || self.style.padding.contains(c));
        if text.is_empty() || self.style.empty.iter().any(|empty| empty.trim() == text) {
            return Ok(None);
        }
        if text.len() > LONGEST {
            return Err(InvalidAmount::NotANumber);
        }
        let (body, negative) = self.strip(text)?;
        let amount = self.figure(body, decimal)?;
        let units = if negative { -amount.units() } else { amount.units() };
        Amount::from_units(units).map(Some).ok_or(InvalidAmount::TooLarge)
    }

    /// Whether a text has a mark of debit or credit beside it.
    pub fn has_mark(&self, text: &str) -> bool {
        let text = text.trim();
        self.marks.iter().any(|(mark, _)| without_mark(text, mark).is_some())
    }

    /// Notes which decimal marks can read a text, unless enough is known.
    pub fn measure(&self, text: &str, line: u64, evidence: &mut Evidence) {
        let decided = evidence.point.is_some() && evidence.comma.is_some();
        // Whole numbers without marks are the same either way.
        if decided || !text.bytes().any(|byte| matches!(byte, b'.' | b',') || !byte.is_ascii()) {
            return;
        }
        let readings = [DecimalMark::Point, DecimalMark::Comma].map(|decimal| self.read(text, decimal));
        match readings {
            [Ok(Some(_)), Err(_)] => evidence.point = evidence.point.or(Some(line)),
            [Err(_), Ok(Some(_))] => evidence.comma = evidence.comma.or(Some(line)),
            [Ok(Some(point)), Ok(Some(comma))] if point != comma => {
                evidence.either = evidence.either.or(Some((line, point, comma)));
            }
            _ => {}
        }
    }

    /// Takes signs, currencies, marks and parentheses off a figure, and returns whether it is negative.
    fn strip<'a>(&self, text: &'a str) -> Result<(&'a str, bool), InvalidAmount> {
        let mut rest = text;
        let (mut sign, mut mark) = (None, None);
        loop {
            let before = rest;
            rest = rest.trim_matches(char::is_whitespace);
            if let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                rest = inner;
                set(&mut sign, true)?;
            }
            for minus in MINUS {
                if let Some(inner) = rest.strip_prefix(minus).or_else(|| rest.strip_suffix(minus)) {
                    rest = inner;
                    set(&mut sign, true)?;
                }
            }
            if let Some(inner) = rest.strip_prefix('+').or_else(|| rest.strip_suffix('+')) {
                rest = inner;
                set(&mut sign, false)?;
            }
            if let Some(inner) = rest.strip_prefix(TRIANGLES) {
                rest = inner;
                set(&mut sign, true)?;
            }
            for currency in &self.style.currency {
                let currency = currency.trim();
                if let Some(inner) = rest.strip_prefix(currency).or_else(|| rest.strip_suffix(currency)) {
                    // The point of "Rs.5" is the abbreviation's.
                    if currency.ends_with(char::is_alphabetic) && inner.starts_with(['.', ',']) {
                        return Err(InvalidAmount::NotANumber);
                    }
                    rest = inner;
                }
            }
            for (text, credit) in &self.marks {
                if let Some(inner) = without_mark(rest, text) {
                    rest = inner;
                    set(&mut mark, *credit)?;
                    break;
                }
            }
            if rest == before {
                break;
            }
        }
        match (sign, mark) {
            // -5 Cr may be meant either way.
            (Some(true), Some(_)) => Err(InvalidAmount::TwoSigns),
            (_, Some(credit)) => Ok((rest, credit)),
            (sign, None) => Ok((rest, sign == Some(true))),
        }
    }

    /// Reads digits, marks and an exponent.
    fn figure(&self, body: &str, decimal: DecimalMark) -> Result<Amount, InvalidAmount> {
        let (mantissa, exponent) = match body.split_once(['e', 'E']).filter(|_| self.style.scientific) {
            Some((mantissa, power)) => (mantissa, exponent(power)?),
            None => (body, 0),
        };
        let mut digits = [0; LONGEST];
        let (mut length, mut point) = (0, None);
        let mut groups = Groups::default();
        for c in mantissa.chars() {
            let byte = match c {
                '０'..='９' => b'0' + (c as u32 - '０' as u32) as u8,
                '．' => b'.',
                '，' => b',',
                '\u{2019}' | '\u{02bc}' | '\u{00b4}' => b'\'',
                ' ' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' | '\u{3000}' => b' ',
                c => u8::try_from(c).map_err(|_| InvalidAmount::NotANumber)?,
            };
            match byte {
                b'0'..=b'9' => {
                    groups.digit(byte, point.is_some());
                    *digits.get_mut(length).ok_or(InvalidAmount::NotANumber)? = byte;
                    length += 1;
                }
                _ if byte == decimal.byte() && point.is_none() => point = Some(length),
                b'.' | b',' | b' ' | b'\'' if point.is_none() && self.allows(byte, decimal) => groups.mark(byte)?,
                _ => return Err(InvalidAmount::NotANumber),
            }
        }
        groups.check()?;
        let digits = std::str::from_utf8(digits.get(..length).unwrap_or_default()).unwrap_or_default();
        let fraction = length - point.unwrap_or(length);
        scaled(digits, fraction, exponent)
    }

    /// Whether a byte may stand between groups of digits.
    fn allows(&self, byte: u8, decimal: DecimalMark) -> bool {
        match self.style.thousands {
            None => byte != decimal.byte(),
            Some(ThousandsMark::Point) => byte == b'.' && decimal == DecimalMark::Comma,
            Some(ThousandsMark::Comma) => byte == b',' && decimal == DecimalMark::Point,
            Some(ThousandsMark::Space) => byte == b' ',
            Some(ThousandsMark::Apostrophe) => byte == b'\'',
            Some(ThousandsMark::None) => false,
        }
    }
}

/// A figure takes one sign.
fn set(sign: &mut Option<bool>, negative: bool) -> Result<(), InvalidAmount> {
    match sign.replace(negative) {
        None => Ok(()),
        Some(_) => Err(InvalidAmount::TwoSigns),
    }
}

/// The text without a mark before or after it, whatever its case; `mark` is in lower case.
fn without_mark<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    if mark.is_empty() {
        return None;
    }
    let same = |part: &str| part.to_lowercase() == mark;
    let behind = text.len().checked_sub(mark.len()).and_then(|at| text.split_at_checked(at));
    if let Some((rest, _)) = behind.filter(|(_, part)| same(part)) {
        return Some(rest);
    }
    text.split_at_checked(mark.len()).filter(|(part, _)| same(part)).map(|(_, rest)| rest)
}

fn exponent(text: &str) -> Result<i32, InvalidAmount> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAmount::NotANumber);
    }
    let exponent: i32 = digits.parse().map_err(|_| InvalidAmount::NotANumber)?;
    if exponent > MAX_EXPONENT {
        return Err(InvalidAmount::TooLarge);
    }
    Ok(if text.starts_with('-') { -exponent } else { exponent })
}

/// The amount of these digits, of which so many stand behind the point, times a power of ten.
fn scaled(digits: &str, fraction: usize, exponent: i32) -> Result<Amount, InvalidAmount> {
    if digits.is_empty() {
        return Err(InvalidAmount::NotANumber);
    }
    let shown = if exponent == 0 { digits } else { digits.trim_start_matches('0') };
    let shift = fraction as i32 - exponent;
    let plain = if shift <= 0 {
        format!("{shown}{}", "0".repeat(shift.unsigned_abs() as usize))
    } else {
        let shift = shift.unsigned_abs() as usize;
        let filled = format!("{}{shown}", "0".repeat((shift + 1).saturating_sub(shown.len())));
        let (integer, behind) = filled.split_at(filled.len() - shift);
        // What an exponent moves past the last digit is not precision.
        let behind = if exponent == 0 { behind } else { behind.trim_end_matches('0') };
        format!("{integer}.{behind}")
    };
    Amount::parse(if plain.is_empty() { b"0" } else { plain.as_bytes() })
}

/// Makes sure that marks between digits group them by threes, or as in India by twos and a last three.
#[derive(Default)]
struct Groups {
    mark: Option<u8>,
    first_digit: Option<u8>,
    /// Digits since the last mark, and of the groups before it: the first, and those that follow.
    current: usize,
    first: usize,
    threes: bool,
    twos: bool,
}

impl Groups {
    fn digit(&mut self, digit: u8, behind_point: bool) {
        if !behind_point {
            self.first_digit = self.first_digit.or(Some(digit));
            self.current += 1;
        }
    }

    fn mark(&mut self, mark: u8) -> Result<(), InvalidAmount> {
        match self.mark {
            None => {
                self.first = self.current;
                (self.threes, self.twos) = (true, true);
            }
            Some(known) if known == mark => {
                self.threes &= self.current == 3;
                self.twos &= self.current == 2;
            }
            Some(_) => return Err(InvalidAmount::NotANumber),
        }
        self.mark = Some(mark);
        self.current = 0;
        Ok(())
    }

    fn check(&self) -> Result<(), InvalidAmount> {
        let grouped = self.current == 3
            && self.first_digit != Some(b'0')
            && (self.threes && (1..=3).contains(&self.first) || self.twos && (1..=2).contains(&self.first));
        if self.mark.is_none() || grouped { Ok(()) } else { Err(InvalidAmount::NotANumber) }
    }
}

#[cfg(test)]
mod tests;
