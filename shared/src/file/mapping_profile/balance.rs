//! Where a balance comes from, if it is more than one column.

use serde::{Deserialize, Serialize, Serializer};

use super::columns::{ColumnRef, ColumnRule, ValueRule};

/// Where a balance comes from. Each source has several names of which the file has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum BalanceRule {
    /// One column, or its negative.
    Column {
        /// The amount.
        column: Vec<ColumnRef>,
        /// Whether its sign is turned.
        negate: bool,
    },
    /// Two sides, blank ones 0.
    Sides {
        /// What is debited.
        debit: Vec<ColumnRef>,
        /// What is credited.
        credit: Vec<ColumnRef>,
        /// Whether credits carry their minus already, so that the sides are added up. Where that is not said, and
        /// one side is negative throughout, a file has two readings.
        signed: Option<bool>,
        /// Whether the sign of the result is turned.
        negate: bool,
    },
    /// An amount beside an indicator.
    Indicated {
        /// The amount.
        column: Vec<ColumnRef>,
        /// Where the indicator comes from.
        indicator: Box<ColumnRule>,
        /// Its values that mean debit.
        debit_values: Vec<String>,
        /// Its values that mean credit, which turn the amount's sign.
        credit_values: Vec<String>,
        /// Whether the sign of the result is turned.
        negate: bool,
    },
}

/// The table as a profile has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, with = "super::columns::one_or_more", skip_serializing_if = "Vec::is_empty")]
    column: Vec<ColumnRef>,
    #[serde(default, with = "super::columns::one_or_more", skip_serializing_if = "Vec::is_empty")]
    debit: Vec<ColumnRef>,
    #[serde(default, with = "super::columns::one_or_more", skip_serializing_if = "Vec::is_empty")]
    credit: Vec<ColumnRef>,
    #[serde(default, serialize_with = "as_meant")]
    signed: Option<bool>,
    #[serde(default, serialize_with = "as_columns", skip_serializing_if = "Option::is_none")]
    indicator: Option<ColumnRule>,
    #[serde(default)]
    debit_values: Vec<String>,
    #[serde(default)]
    credit_values: Vec<String>,
    #[serde(default)]
    negate: bool,
}

impl TryFrom<Written> for BalanceRule {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let Written { column, debit, credit, signed, indicator, debit_values, credit_values, negate } = written;
        if debit_values.iter().chain(&credit_values).any(|value| value.trim() != value) {
            return Err("a value of the indicator has spaces at its ends, and cells are looked at without theirs");
        }
        match (column.is_empty(), debit.is_empty() && credit.is_empty(), indicator) {
            (false, true, None) if signed.is_some() || !debit_values.is_empty() || !credit_values.is_empty() => {
                Err("signed goes with debit and credit; debit_values and credit_values go with an indicator")
            }
            (false, true, None) => Ok(Self::Column { column, negate }),
            (true, false, None) if debit.is_empty() || credit.is_empty() => Err("debit and credit go together"),
            (true, false, None) if !debit_values.is_empty() || !credit_values.is_empty() => {
                Err("debit_values and credit_values go with an indicator")
            }
            (true, false, None) => Ok(Self::Sides { debit, credit, signed, negate }),
            (false, true, Some(_)) if debit_values.is_empty() || credit_values.is_empty() => {
                Err("an indicator needs debit_values and credit_values")
            }
            (false, true, Some(_)) if signed.is_some() => Err("signed goes with debit and credit"),
            (false, true, Some(_)) if debit_values.iter().any(|value| credit_values.contains(value)) => {
                Err("a value stands under debit_values and credit_values")
            }
            (false, true, Some(indicator)) => {
                Ok(Self::Indicated { column, indicator: Box::new(indicator), debit_values, credit_values, negate })
            }
            _ => Err("a balance is a column, or a column with an indicator, or debit and credit"),
        }
    }
}

impl From<BalanceRule> for Written {
    fn from(rule: BalanceRule) -> Self {
        let empty = Self {
            column: Vec::new(),
            debit: Vec::new(),
            credit: Vec::new(),
            signed: None,
            indicator: None,
            debit_values: Vec::new(),
            credit_values: Vec::new(),
            negate: false,
        };
        match rule {
            BalanceRule::Column { column, negate } => Self { column, negate, ..empty },
            BalanceRule::Sides { debit, credit, signed, negate } => Self { debit, credit, signed, negate, ..empty },
            BalanceRule::Indicated { column, indicator, debit_values, credit_values, negate } => {
                Self { column, indicator: Some(*indicator), debit_values, credit_values, negate, ..empty }
            }
        }
    }
}

/// What is not said means `false`, so that profiles that say it and those that do not map alike.
#[expect(clippy::ref_option, reason = "serde calls it so")]
fn as_meant<S: Serializer>(signed: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    signed.unwrap_or_default().serialize(serializer)
}

/// An indicator that is a column as it stands is written as a list of its names.
#[expect(clippy::ref_option, reason = "serde calls it so")]
fn as_columns<S: Serializer>(indicator: &Option<ColumnRule>, serializer: S) -> Result<S::Ok, S::Error> {
    match indicator {
        Some(ColumnRule { value: ValueRule::Column(columns), .. })
            if indicator.as_ref().is_some_and(ColumnRule::is_plain) =>
        {
            columns.serialize(serializer)
        }
        rule => rule.serialize(serializer),
    }
}
