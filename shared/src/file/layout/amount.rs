//! Amounts of a record, as the profile's rules make them.

use super::{
    notes::AmountNotes,
    sides::{SideSigns, SidesOf},
    value::{Value, Values},
};
use crate::{
    amount::{Amount, InvalidAmount, SCALE},
    file::{
        amount_text::{AmountReader, Evidence},
        mapping_profile::DecimalMark,
    },
};

/// Where an amount comes from.
#[derive(Debug)]
pub enum AmountSource {
    /// One text.
    Text {
        /// The text.
        value: Value,
        /// Whether its sign is turned.
        negate: bool,
    },
    /// Two sides, blank ones 0.
    Sides {
        /// The cell of what is debited.
        debit: usize,
        /// The cell of what is credited.
        credit: usize,
        /// Whether credits carry their minus already, if the profile says.
        signed: Option<bool>,
        /// Whose sides they are.
        of: SidesOf,
        /// Whether the sign of the result is turned.
        negate: bool,
    },
    /// An amount beside an indicator.
    Indicated {
        /// The cell of the amount.
        column: usize,
        /// The indicator.
        indicator: Value,
        /// Indicators that mean debit.
        debit: Vec<String>,
        /// Indicators that mean credit.
        credit: Vec<String>,
        /// Whether the sign of the result is turned.
        negate: bool,
    },
}

/// How the amounts of a file are read, and what was learnt about that.
#[derive(Debug)]
pub struct AmountContext<'a> {
    /// The profile's style.
    pub reader: &'a AmountReader,
    /// The decimal mark.
    pub decimal: DecimalMark,
    /// What the file's texts allow, if the profile does not say it.
    pub evidence: Option<&'a mut Evidence>,
    /// Whether every text is weighed, even if enough is known to go on.
    pub thorough: bool,
    /// The signs of sides, of the balance and the balance carried forward, where the profile does not say what a
    /// minus among credits means.
    pub sides: Option<&'a mut [SideSigns; 2]>,
    /// What the amounts of rows that count tell beside their sum.
    pub notes: Option<&'a mut AmountNotes>,
}

impl AmountSource {
    /// The cells of its amounts.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let places = match self {
            Self::Text { value, .. } => [value.place(), None],
            Self::Sides { debit, credit, .. } => [Some(*debit), Some(*credit)],
            Self::Indicated { column, .. } => [Some(*column), None],
        };
        places.into_iter().flatten()
    }

    /// What stands beside the amount and says its side.
    pub(super) fn indicator(&self) -> Option<&Value> {
        match self {
            Self::Indicated { indicator, .. } => Some(indicator),
            Self::Text { .. } | Self::Sides { .. } => None,
        }
    }

    /// Both sides of a record, where the amount has sides that can be read.
    pub fn both_sides(&self, values: &Values<'_>, reading: &mut AmountContext<'_>) -> Option<[Amount; 2]> {
        let Self::Sides { debit, credit, .. } = self else { return None };
        let mut cell = |place: usize| {
            let text = values.record.get(place).unwrap_or_default();
            reading.read(text, values.record.is_number(place), values.record.line).ok().flatten()
        };
        let sides = [cell(*debit), cell(*credit)];
        sides.iter().any(Option::is_some).then(|| sides.map(|side| side.unwrap_or(Amount::ZERO)))
    }

    /// The amount of a record; none if it is blank.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    pub fn read(&self, values: &Values<'_>, reading: &mut AmountContext<'_>) -> Result<Option<Amount>, String> {
        let line = values.record.line;
        // Where the side is told by the column, a mark in the cell would turn the sign once more.
        let mut cell = |place: usize| {
            values.has_value(place)?;
            let text = values.record.get(place).unwrap_or_default();
            if reading.reader.has_mark(text) {
                return Err(InvalidAmount::TwoSigns.to_string());
            }
            reading.read(text, values.record.is_number(place), line).map_err(|error| error.to_string())
        };
        let (amount, negate) = match self {
            Self::Text { value, negate } => {
                let text = values.text(value)?.unwrap_or_default();
                let is_number = value.place().is_some_and(|place| values.record.is_number(place));
                (reading.read(&text, is_number, line).map_err(|error| error.to_string())?, *negate)
            }
            Self::Sides { debit, credit, signed, of, negate } => {
                let debit = cell(*debit).map_err(|error| format!("the debit side {error}"))?;
                let credit = cell(*credit).map_err(|error| format!("the credit side {error}"))?;
                if let (Some(notes), SidesOf::Balance, false) = (reading.notes.as_deref_mut(), *of, values.is_contra())
                {
                    notes.add_sides(debit, credit);
                }
                if let (None, Some([balance, forward]), false) =
                    (signed, reading.sides.as_deref_mut(), values.is_contra())
                {
                    let signs = if *of == SidesOf::Balance { balance } else { forward };
                    signs.add(line, debit, credit);
                }
                let is_signed = signed.unwrap_or_default();
                let credit = credit.map(|credit| if is_signed { credit.units() } else { -credit.units() });
                let sum = match (debit, credit) {
                    (None, None) => None,
                    (debit, credit) => Some(debit.map_or(0, Amount::units) + credit.unwrap_or(0)),
                };
                (sum.map(within).transpose()?, *negate)
            }
            Self::Indicated { column, indicator, debit, credit, negate } => {
                let amount = cell(*column)?;
                let Some(amount) = amount else { return Ok(None) };
                let indicator = values.text(indicator).map_err(|reason| format!("has an indicator that {reason}"))?;
                let indicator = indicator.as_deref().unwrap_or_default().trim();
                if debit.iter().any(|text| text == indicator) {
                    (Some(amount), *negate)
                } else if credit.iter().any(|text| text == indicator) {
                    (Some(amount), !*negate)
                } else if amount == Amount::ZERO && indicator.is_empty() {
                    (Some(amount), false)
                } else {
                    let known = [debit.as_slice(), credit.as_slice()].concat().join(", ");
                    return Err(format!("has an indicator that is none of {known}"));
                }
            }
        };
        match amount {
            Some(amount) if negate => within(-amount.units()).map(Some),
            other => Ok(other),
        }
    }
}

fn within(units: i128) -> Result<Amount, String> {
    Amount::from_units(units).ok_or_else(|| InvalidAmount::TooLarge.to_string())
}

impl<'a> AmountContext<'a> {
    /// Reads amounts of which nothing is to be learnt.
    pub fn quiet(reader: &'a AmountReader, decimal: DecimalMark) -> Self {
        Self { reader, decimal, evidence: None, thorough: false, sides: None, notes: None }
    }

    fn read(&mut self, text: &str, is_number: bool, line: u64) -> Result<Option<Amount>, InvalidAmount> {
        if is_number {
            let amount = match self.reader.decimals() {
                None => Amount::parse(text.as_bytes())?,
                Some(decimals) => {
                    let mut aside = AmountNotes::default();
                    let notes = self.notes.as_deref_mut().unwrap_or(&mut aside);
                    notes.meant(text, decimals).ok_or(InvalidAmount::NotOfDecimals)?
                }
            };
            // From there on a double tells not even whole numbers apart.
            let told_apart = amount.units().unsigned_abs() < (1 << 53) * 10_u128.pow(SCALE);
            return if told_apart { Ok(Some(amount)) } else { Err(InvalidAmount::Imprecise) };
        }
        let read = self.reader.read(text, self.decimal);
        // What is found out about the mark needs no doubt.
        if let (Some(notes), None, Ok(Some(_))) = (self.notes.as_deref_mut(), &self.evidence, &read) {
            notes.look(text, self.decimal);
        }
        if let Some(evidence) = self.evidence.as_deref_mut() {
            let proof = match self.decimal {
                DecimalMark::Point => evidence.point,
                DecimalMark::Comma => evidence.comma,
            };
            // Once a text has told the mark, only one that it cannot read tells more.
            if proof.is_none() || read.is_err() || self.thorough {
                self.reader.measure(text, line, evidence);
            }
        }
        read
    }
}
