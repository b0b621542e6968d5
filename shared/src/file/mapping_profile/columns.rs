//! Where each column of the ledger comes from.

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{pattern::Pattern, period_format::PeriodFormat};
use crate::file::columns::{AMOUNTS, ERP_TEXTS, REVIEW_TEXTS};

/// A column of the file: by its name, whatever its case and spaces, or by its place from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ColumnRef {
    /// By its name.
    Name(String),
    /// By its place, from 1.
    Place(NonZeroU32),
}

impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Place(place) => write!(f, "column {place}"),
        }
    }
}

impl<'de> Deserialize<'de> for ColumnRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = ColumnRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name, or its place from 1")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<ColumnRef, E> {
                if name.trim().is_empty() {
                    return Err(E::custom(
                        "a column's name is empty; a column without one is told by its place from 1",
                    ));
                }
                Ok(ColumnRef::Name(name.to_owned()))
            }

            fn visit_i64<E: Error>(self, place: i64) -> Result<ColumnRef, E> {
                let place = u32::try_from(place).ok().and_then(NonZeroU32::new);
                place.map(ColumnRef::Place).ok_or_else(|| E::custom("a column's place is a whole number from 1"))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A column of the ledger that a profile can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Target(&'static str);

impl Target {
    /// The entity.
    pub const ENTITY: Self = Self("entity");
    /// The period.
    pub const PERIOD: Self = Self("period");
    /// The account code.
    pub const ACCOUNT_CODE: Self = Self("account_code");
    /// Whether an account is one of the balance sheet or of profit and loss.
    pub const BS_PL: Self = Self("bs_pl");
    /// The class of an account.
    pub const STATUS: Self = Self("status");
    /// The balance.
    pub const BALANCE: Self = Self("balance");
    /// The balance carried forward.
    pub const BALANCE_CARRYFORWARD: Self = Self("balance_carryforward");

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether it is a text beside the key.
    pub fn is_text(self) -> bool {
        ERP_TEXTS.contains(&self.0) || REVIEW_TEXTS.contains(&self.0)
    }

    /// Every target.
    pub fn all() -> impl Iterator<Item = Self> {
        let keys = ["entity", "period", "company_code", "account_code"];
        keys.into_iter().chain(AMOUNTS).chain(ERP_TEXTS).chain(REVIEW_TEXTS).map(Self)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::all().find(|target| target.0 == name).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(Self::as_str).collect();
            D::Error::custom(format!("unknown column `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

/// Where one column of the ledger comes from, and what is made of it, in the order of the fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnRule {
    /// Where it comes from.
    pub value: ValueRule,
    /// The part of the cell that counts: the expression's first group, or all of what it matches.
    pub part: Option<Pattern>,
    /// Whether a blank cell holds what the last one above it held.
    pub fill_down: bool,
    /// Other texts for some.
    pub map: BTreeMap<String, String>,
    /// The text for those that `map` does not name; otherwise they are bad.
    pub otherwise: Option<String>,
    /// What is done with zeros in front.
    pub zeros: Zeros,
    /// The number of digits that codes of digits are filled up to, with zeros in front.
    pub pad_to: Option<u8>,
    /// How a period is written; the first that fits counts.
    pub format: Vec<PeriodFormat>,
    /// The text where the cell is blank.
    pub if_blank: Option<String>,
    /// The texts that there may be; any other is bad.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

/// Where a column's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueRule {
    /// A column of one of these names: the first that the file has.
    Column(Vec<ColumnRef>),
    /// Several columns, all of which the file must have, and what stands between them.
    Joined(Vec<ColumnRef>, String),
    /// The same text in every row.
    Constant(String),
    /// What the job's message says.
    Message(FromMessage),
}

/// What can be taken from the job's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromMessage {
    /// Its entity.
    Entity,
    /// Its period.
    Period,
}

/// What is done with zeros in front of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zeros {
    /// They stay.
    #[default]
    Keep,
    /// They go, except the last digit.
    Cut,
}

impl ColumnRule {
    /// A rule that takes a cell as it stands.
    pub fn plain(value: ValueRule) -> Self {
        Self {
            value,
            part: None,
            fill_down: false,
            map: BTreeMap::new(),
            otherwise: None,
            zeros: Zeros::Keep,
            pad_to: None,
            format: Vec::new(),
            if_blank: None,
            one_of: Vec::new(),
        }
    }

    /// The columns of which it takes one, or all.
    pub fn columns(&self) -> &[ColumnRef] {
        match &self.value {
            ValueRule::Column(columns) | ValueRule::Joined(columns, _) => columns,
            ValueRule::Constant(_) | ValueRule::Message(_) => &[],
        }
    }

    /// Whether the cell is taken as it stands.
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.value.clone())
    }
}

/// The table as a profile has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(with = "one_or_more")]
    column: Vec<ColumnRef>,
    columns: Vec<ColumnRef>,
    join: Option<String>,
    value: Option<String>,
    message: Option<FromMessage>,
    part: Option<Pattern>,
    fill_down: bool,
    map: BTreeMap<String, String>,
    otherwise: Option<String>,
    zeros: Zeros,
    pad_to: Option<u8>,
    #[serde(with = "texts")]
    format: Option<Vec<String>>,
    months: Option<Vec<String>>,
    year_offset: i32,
    if_blank: Option<String>,
    #[serde(with = "texts")]
    one_of: Option<Vec<String>>,
}

impl TryFrom<Written> for ColumnRule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.join.is_some() == written.columns.is_empty() {
            return Err("columns and join go together".to_owned());
        }
        let mut values = [
            (!written.column.is_empty()).then_some(ValueRule::Column(written.column)),
            written.join.map(|with| ValueRule::Joined(written.columns, with)),
            written.value.map(ValueRule::Constant),
            written.message.map(ValueRule::Message),
        ]
        .into_iter()
        .flatten();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err("a column needs exactly one of column, columns with join, value, message".to_owned());
        };
        if written.otherwise.is_some() && written.map.is_empty() {
            return Err("otherwise goes with a map".to_owned());
        }
        let format = written.format.unwrap_or_default();
        if format.is_empty() && (written.months.is_some() || written.year_offset != 0) {
            return Err("months and year_offset go with a format".to_owned());
        }
        let months = written.months.unwrap_or_default();
        let read = |text: &String| PeriodFormat::new(text, &months, written.year_offset).map_err(|e| e.to_string());
        Ok(Self {
            value,
            part: written.part,
            fill_down: written.fill_down,
            map: written.map,
            otherwise: written.otherwise,
            zeros: written.zeros,
            pad_to: written.pad_to,
            format: format.iter().map(read).collect::<Result<_, _>>()?,
            if_blank: written.if_blank,
            one_of: written.one_of.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for ColumnRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = ColumnRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name or place, a list of them, or a table such as { value = \"…\" }")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<ColumnRule, E> {
                let column = ColumnRef::deserialize(serde::de::value::StrDeserializer::new(name))?;
                Ok(ColumnRule::plain(ValueRule::Column(vec![column])))
            }

            fn visit_i64<E: Error>(self, place: i64) -> Result<ColumnRule, E> {
                let column = ColumnRef::deserialize(serde::de::value::I64Deserializer::new(place))?;
                Ok(ColumnRule::plain(ValueRule::Column(vec![column])))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ColumnRule, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = items.next_element()? {
                    columns.push(column);
                }
                if columns.is_empty() {
                    return Err(A::Error::custom("the list of columns is empty"));
                }
                Ok(ColumnRule::plain(ValueRule::Column(columns)))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ColumnRule, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(table))?;
                ColumnRule::try_from(written).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// One column or a list of them.
pub(super) mod one_or_more {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{ColumnRef, ColumnRule, ValueRule};

    pub(crate) fn serialize<S: Serializer>(columns: &[ColumnRef], serializer: S) -> Result<S::Ok, S::Error> {
        columns.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ColumnRef>, D::Error> {
        let rule = ColumnRule::deserialize(deserializer)?;
        match rule.value {
            ValueRule::Column(ref columns) if rule.is_plain() => Ok(columns.clone()),
            ValueRule::Column(_) | ValueRule::Joined(..) | ValueRule::Constant(_) | ValueRule::Message(_) => {
                Err(serde::de::Error::custom("expected a column's name or place, or a list of them"))
            }
        }
    }
}

/// One text or a list of them, or none.
pub(super) mod texts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Texts {
        One(String),
        More(Vec<String>),
    }

    pub(crate) fn serialize<S: Serializer>(texts: &Option<Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
        texts.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
        Ok(Some(match Texts::deserialize(deserializer)? {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        }))
    }
}
