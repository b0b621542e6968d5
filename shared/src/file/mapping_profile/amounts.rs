//! How amounts are written.

use serde::{Deserialize, Serialize};

/// How amounts are written. A minus before or after, parentheses and a triangle are always understood.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmountStyle {
    /// The decimal mark; otherwise found out from the file, which is refused if it allows two readings.
    pub decimal: Option<DecimalMark>,
    /// The thousands mark; otherwise any that is not the decimal mark.
    pub thousands: Option<ThousandsMark>,
    /// Texts that mean empty, such as `-`.
    pub empty: Vec<String>,
    /// Currency signs beside the figure, such as `€`.
    pub currency: Vec<String>,
    /// Texts beside the figure that mean debit, such as `Dr`, whatever their case.
    pub debit_marks: Vec<String>,
    /// Texts beside the figure that mean credit, such as `Cr`, whatever their case.
    pub credit_marks: Vec<String>,
    /// Whether `1.5E+3` is an amount.
    pub scientific: bool,
    /// Characters around the figure that mean nothing, such as `*`.
    pub padding: String,
    /// Digits behind the decimal mark that the numbers of a workbook mean, which are doubles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
}

/// Digits behind the decimal mark that a double can mean.
const MOST_DECIMALS: u8 = 5;

impl AmountStyle {
    /// Makes sure that no part of a figure is taken for something beside it, and draws the decimal mark from
    /// the thousands mark if only that is said.
    pub(super) fn complete(&mut self) -> Result<(), String> {
        const OF_FIGURES: &str = "0123456789+-()'\u{2212}\u{2013}\u{2010}\u{ff0d}\u{2019}△▲";
        for (key, texts) in
            [("currency", &self.currency), ("debit_marks", &self.debit_marks), ("credit_marks", &self.credit_marks)]
        {
            for text in texts {
                let lettered = text.contains(char::is_alphabetic);
                let figure = |c: char| OF_FIGURES.contains(c) || c.is_numeric() || !lettered && matches!(c, '.' | ',');
                if text.trim().is_empty() || text.contains(figure) {
                    return Err(format!("{key} has {text:?}, which is blank or may be part of a figure"));
                }
            }
        }
        if let Some(c) =
            self.padding.chars().find(|c| c.is_numeric() || OF_FIGURES.contains(*c) || matches!(c, '.' | ','))
        {
            return Err(format!("padding has {c:?}, which may be part of a figure"));
        }
        let same = |mark: &&String| {
            self.credit_marks.iter().any(|other| other.trim().to_lowercase() == mark.trim().to_lowercase())
        };
        if let Some(mark) = self.debit_marks.iter().find(same) {
            return Err(format!("{mark:?} stands under debit_marks and credit_marks"));
        }
        if let Some(decimals) = self.decimals.filter(|decimals| *decimals > MOST_DECIMALS) {
            return Err(format!("decimals is {decimals}; a double tells no more than {MOST_DECIMALS} digits"));
        }
        match (self.decimal, self.thousands) {
            (Some(DecimalMark::Point), Some(ThousandsMark::Point))
            | (Some(DecimalMark::Comma), Some(ThousandsMark::Comma)) => {
                return Err("decimal and thousands are the same mark".to_owned());
            }
            (None, Some(ThousandsMark::Point)) => self.decimal = Some(DecimalMark::Comma),
            (None, Some(ThousandsMark::Comma)) => self.decimal = Some(DecimalMark::Point),
            _ => {}
        }
        Ok(())
    }
}

/// The decimal mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecimalMark {
    /// `1.5`
    #[serde(rename = ".")]
    Point,
    /// `1,5`
    #[serde(rename = ",")]
    Comma,
}

impl DecimalMark {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }

    /// The mark itself.
    pub fn byte(self) -> u8 {
        match self {
            Self::Point => b'.',
            Self::Comma => b',',
        }
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point => "a decimal point",
            Self::Comma => "a decimal comma",
        }
    }
}

/// The thousands mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThousandsMark {
    /// `1.000`
    #[serde(rename = ".")]
    Point,
    /// `1,000`
    #[serde(rename = ",")]
    Comma,
    /// `1 000`, with whatever kind of space.
    #[serde(rename = " ")]
    Space,
    /// `1'000`, with whatever kind of apostrophe.
    #[serde(rename = "'")]
    Apostrophe,
    /// No mark.
    #[serde(rename = "none")]
    None,
}
