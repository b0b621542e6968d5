//! The layout: a mapping profile checked against the columns that a file has.

mod amount;
mod filter;
mod finder;
mod names;
mod notes;
mod sides;
mod value;

use std::{borrow::Cow, collections::HashSet};

pub use self::{
    amount::{AmountContext, AmountSource},
    filter::{Filtered, Rule},
    notes::AmountNotes,
    sides::{SideSigns, SidesOf},
    value::Values,
};
use self::{
    filter::Filter,
    finder::Finder,
    names::{json_bytes, names},
    value::Value,
};
use crate::{
    amount::Amount,
    file::{
        columns::{AMOUNTS, ERP_TEXTS, FileColumns, REQUIRED, REVIEW_TEXTS, TEXTS, key_of},
        mapping_profile::{BalanceRule, ColumnRef, ExtraColumns, HeaderLine, KeepOrDrop, MappingProfile, Target},
        records::Record,
    },
    message::failure::{BAD_TEXT, ErrorCode, Failure, Stage},
    printable,
    slice::Slice,
};

/// Bytes of the names of unknown columns as JSON, which each row that keeps them repeats.
const MAX_EXTRA_NAMES: usize = 256 << 10;

/// Where each column of the ledger stands in the records of one file.
#[derive(Debug)]
pub struct Layout {
    /// The file's columns.
    pub columns: FileColumns,
    entity: Value,
    period: Value,
    company_code: Option<Value>,
    account_code: Value,
    amounts: [Option<AmountSource>; AMOUNTS.len()],
    texts: [Option<Value>; TEXTS],
    contra: Option<Box<Contra>>,
    extra: Vec<usize>,
    keep: Vec<Filter>,
    drop: Vec<Filter>,
    end: Vec<Filter>,
    refuse: Vec<Filter>,
    /// Columns that hold the same text in all rows of a slice.
    same: Vec<usize>,
    /// What the cells that are filled down held last.
    held: Vec<String>,
}

/// The columns of a second row that each record makes.
#[derive(Debug)]
struct Contra {
    account_code: Value,
    /// Those that differ from the first row's.
    texts: [Option<Value>; TEXTS],
    /// Its own amounts, of which balances are those of the other side; otherwise it has the first row's.
    amounts: Option<[Option<AmountSource>; AMOUNTS.len()]>,
}

/// What of a record a side of it is: the first row's, or the second's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It has an account, or what is wrong with that is to be told.
    Row,
    /// It names no account.
    Keyless,
    /// There is nothing on it: no account, and no amount of its own.
    Absent,
}

impl Layout {
    /// Holds a profile against the cells of a header.
    ///
    /// # Errors
    /// `schema_invalid` if a required column is missing, or a name stands twice.
    pub fn new(profile: &MappingProfile, cells: &[String]) -> Result<Self, Failure> {
        let (names, twice) = names(cells, profile.text.repeated_headers);
        let keys: Vec<String> = names.iter().map(|name| key_of(name)).collect();
        let mut finder = Finder::new(profile, keys);
        let entity = finder.value(Target::ENTITY);
        let period = finder.value(Target::PERIOD);
        let account_code = finder.named("account_code");
        let company_code = finder.named("company_code");
        let amounts = AMOUNTS.map(|name| finder.amount(name));
        let texts = std::array::from_fn(|place| {
            finder.named(ERP_TEXTS.get(place).unwrap_or_else(|| &REVIEW_TEXTS[place - ERP_TEXTS.len()]))
        });
        let contra = finder.contra();
        let rows = &profile.rows;
        let (keep, drop, end) = (finder.filters(&rows.keep), finder.filters(&rows.drop), finder.filters(&rows.end));
        let refuse = finder.refusals(&rows.refuse);
        let same = rows.same.iter().filter_map(|column| finder.place_of(column)).collect();

        let keys = [&entity, &period, &company_code, &account_code];
        let filled = Self::filled(&keys, &amounts, &texts, contra.as_deref());
        let unknown: Vec<usize> = (0..names.len()).filter(|place| !finder.used[*place]).collect();
        let these: HashSet<String> = match &profile.extra_columns {
            ExtraColumns::Whether(_) => HashSet::new(),
            ExtraColumns::These(these) => these.iter().map(|name| key_of(name)).collect(),
        };
        let kept = |place: &usize| match &profile.extra_columns {
            ExtraColumns::Whether(KeepOrDrop::Keep) => true,
            ExtraColumns::Whether(KeepOrDrop::Drop) => false,
            ExtraColumns::These(_) => these.contains(&finder.keys[*place]),
        };
        let extra: Vec<usize> = unknown.iter().copied().filter(kept).collect();
        let bytes: usize = extra.iter().map(|place| json_bytes(&names[*place])).sum();
        let columns = FileColumns {
            extra_columns: unknown.iter().map(|place| names[*place].clone()).collect(),
            left_columns: unknown.iter().filter(|place| !kept(place)).map(|place| names[*place].clone()).collect(),
            keeps_extra: !extra.is_empty(),
            filled,
            names,
        };
        let required = |name: &&str| !columns.has(name);
        let missing: Vec<&str> = REQUIRED.into_iter().filter(required).collect();
        if !missing.is_empty() || !twice.is_empty() || !finder.missing.is_empty() {
            return Err(finder.fault(&columns, &missing, &twice));
        }
        let (Some(entity), Some(period), Some(account_code)) = (entity, period, account_code) else {
            return Err(finder.fault(&columns, &missing, &twice));
        };
        if bytes > MAX_EXTRA_NAMES {
            let reason = format!(
                "the names of the columns that Aura does not know take {bytes} bytes of each row, more than the \
                 {MAX_EXTRA_NAMES} that they may; name those to keep as extra_columns of a mapping profile"
            );
            return Err(Failure::new(ErrorCode::FileTooLarge, Stage::ValidateSchema, reason));
        }
        let held = vec![String::new(); finder.fills];
        if profile.text.header == HeaderLine::Assumed && profile.text.header_contains.is_empty() {
            let codes = account_code.place().into_iter().map(|place| (place, true));
            let places = amounts.iter().flatten().flat_map(|source| source.places().map(|place| (place, false)));
            if let Some(name) = finder.looks_like_row(&columns.names, codes.chain(places)) {
                let reason = format!(
                    "the first record is taken for the headings, and looks like a row: where {name} stands it has a \
                     figure; say header = false, or header = true if these are headings"
                );
                return Err(Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, reason));
            }
        }
        Ok(Self {
            columns,
            entity,
            period,
            company_code,
            account_code,
            amounts,
            texts,
            contra,
            extra,
            keep,
            drop,
            end,
            refuse,
            same,
            held,
        })
    }

    fn filled(
        keys: &[&Option<Value>; 4],
        amounts: &[Option<AmountSource>; AMOUNTS.len()],
        texts: &[Option<Value>; TEXTS],
        contra: Option<&Contra>,
    ) -> Vec<&'static str> {
        let names = ["entity", "period", "company_code", "account_code"];
        let keys = names.into_iter().zip(keys.iter().map(|value| value.is_some()));
        // Either row of a line may fill a column.
        let of_contra = |place: usize| {
            let amounts = contra.and_then(|contra| contra.amounts.as_ref());
            amounts.is_some_and(|amounts| amounts[place].is_some())
        };
        let amounts =
            AMOUNTS.into_iter().zip(amounts.iter().enumerate().map(|(place, own)| own.is_some() || of_contra(place)));
        let text_of_contra = |place: usize| contra.is_some_and(|contra| contra.texts[place].is_some());
        let texts = texts.iter().enumerate().map(|(place, own)| own.is_some() || text_of_contra(place));
        let texts = ERP_TEXTS.into_iter().chain(REVIEW_TEXTS).zip(texts);
        keys.chain(amounts).chain(texts).filter(|(_, filled)| *filled).map(|(name, _)| name).collect()
    }

    /// Holds a record against the profile's conditions, and remembers what later cells are filled from.
    pub fn filter(&mut self, record: &Record<'_>) -> Filtered {
        self.remember(record);
        let first = |filters: &[Filter], holds| filters.iter().position(|filter| filter.holds(record) == holds);
        if let Some(place) = first(&self.end, true) {
            return Filtered::End(Rule::End(place));
        }
        let dropped = first(&self.drop, true).map(Rule::Drop);
        match dropped.or_else(|| first(&self.keep, false).map(Rule::Keep)) {
            Some(rule) => Filtered::Dropped(rule),
            None => Filtered::Kept,
        }
    }

    /// The column and the condition by which the profile refuses a row, if it does.
    pub fn refusal(&self, record: &Record<'_>, profile: &MappingProfile) -> Option<(Option<String>, String)> {
        let filter = self.refuse.iter().find(|filter| filter.holds(record))?;
        let condition = profile.rows.refuse.get(filter.condition)?;
        let column = filter.place.and_then(|place| self.columns.names.get(place)).cloned();
        Some((column, format!("is refused by the mapping profile: {condition}")))
    }

    /// The cells that must hold the same text in all rows of a slice, and their columns' names.
    pub fn same_cells<'a>(&'a self, record: &Record<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (names, record) = (&self.columns.names, *record);
        self.same.iter().map(move |place| (names[*place].as_str(), record.get(*place).unwrap_or_default().trim()))
    }

    fn remember(&mut self, record: &Record<'_>) {
        let Self { entity, period, company_code, account_code, amounts, texts, contra, held, .. } = self;
        if held.is_empty() {
            return;
        }
        let keys = [Some(&*entity), Some(&*period), company_code.as_ref(), Some(&*account_code)];
        let contra = contra.as_deref();
        let contra_texts = contra.iter().flat_map(|contra| contra.texts.iter().map(Option::as_ref));
        let contra = contra_texts.chain([contra.map(|contra| &contra.account_code)]);
        let indicators = amounts.iter().map(|amount| amount.as_ref().and_then(AmountSource::indicator));
        for value in keys.into_iter().chain(texts.iter().map(Option::as_ref)).chain(indicators).chain(contra).flatten()
        {
            value.remember(record, held);
        }
    }

    /// The texts of one record.
    pub fn values<'a>(&'a self, record: Record<'a>, slice: &'a Slice) -> Values<'a> {
        Values { layout: self, record, slice, contra: None }
    }

    /// The texts of the second row that a record makes, if it makes one.
    pub fn contra_values<'a>(&'a self, record: Record<'a>, slice: &'a Slice) -> Option<Values<'a>> {
        let contra = self.contra.as_deref()?;
        Some(Values { layout: self, record, slice, contra: Some(contra) })
    }

    /// What the columns of two sides are called, of the balance or of the balance carried forward.
    pub fn side_names(&self, of: SidesOf) -> Option<[&str; 2]> {
        let [balance, forward, ..] = &self.amounts;
        let source = if of == SidesOf::Balance { balance } else { forward };
        let Some(AmountSource::Sides { debit, credit, .. }) = source else { return None };
        Some([*debit, *credit].map(|place| self.columns.names[place].as_str()))
    }

    /// The cells from which each column of the ledger comes, as far as it comes from any.
    pub fn origins(&self) -> Vec<(&'static str, Vec<usize>)> {
        let keys = [Some(&self.entity), Some(&self.period), self.company_code.as_ref(), Some(&self.account_code)];
        let keys = ["entity", "period", "company_code", "account_code"].into_iter().zip(keys);
        let texts = ERP_TEXTS.into_iter().chain(REVIEW_TEXTS).zip(self.texts.iter().map(Option::as_ref));
        let values = keys.chain(texts).map(|(name, value)| (name, value.map(Value::places).unwrap_or_default()));
        let amounts = AMOUNTS.into_iter().zip(self.amounts.iter()).map(|(name, source)| {
            let indicator = source.as_ref().and_then(AmountSource::indicator).map(Value::places);
            let places = source.iter().flat_map(AmountSource::places).chain(indicator.into_iter().flatten());
            (name, places.collect())
        });
        values.chain(amounts).filter(|(_, places)| !places.is_empty()).collect()
    }

    /// What a record holds where a column of the ledger, or one of the file's own, comes from.
    pub fn text_of(&self, record: &Record<'_>, column: &str) -> Option<String> {
        let origin = self.origins().into_iter().find(|(name, _)| *name == column).map(|(_, places)| places);
        let own = || self.columns.names.iter().position(|name| name == column).map(|place| vec![place]);
        let places = origin.or_else(own)?;
        let cells: Vec<&str> = places.into_iter().filter_map(|place| record.get(place)).collect();
        (!cells.is_empty()).then(|| printable::shortened(&cells.join(" | "), BAD_TEXT))
    }

    /// Whether there are columns that must hold the same text in all rows of a slice.
    pub fn has_same(&self) -> bool {
        !self.same.is_empty()
    }

    /// Whether records may make a second row.
    pub fn has_contra(&self) -> bool {
        self.contra.is_some()
    }

    /// Whether second rows have amounts of their own.
    pub fn contra_has_amounts(&self) -> bool {
        self.contra.as_ref().is_some_and(|contra| contra.amounts.is_some())
    }
}

impl<'a> Values<'a> {
    /// The entity; none if the record is too short to have one.
    pub fn entity(&self) -> Result<Option<Cow<'a, str>>, String> {
        self.text(&self.layout.entity)
    }

    /// The period; none if the record is too short to have one.
    pub fn period(&self) -> Result<Option<Cow<'a, str>>, String> {
        self.text(&self.layout.period)
    }

    /// The account code; blank if the record has none.
    pub fn account_code(&self) -> Result<Cow<'a, str>, String> {
        let value = self.contra.map_or(&self.layout.account_code, |contra| &contra.account_code);
        self.text(value).map(Option::unwrap_or_default)
    }

    /// Whether there is anything where the account code comes from.
    pub fn names_account(&self) -> bool {
        let value = self.contra.map_or(&self.layout.account_code, |contra| &contra.account_code);
        !value.is_blank(self)
    }

    /// Whether this side of the record is a row.
    pub fn side(&self, amounts: &mut AmountContext<'_>) -> Side {
        if !self.account_code().is_ok_and(|code| code.trim().is_empty()) {
            return Side::Row;
        }
        if self.names_account() {
            return Side::Keyless;
        }
        // Where both sides have amounts of their own, a blank account beside a blank amount is no posting.
        let has_own_amounts = self.layout.contra_has_amounts();
        let mut is_posting = || {
            let amount = self.amount_source(0).map(|source| source.read(self, amounts));
            !matches!(amount, None | Some(Ok(None | Some(Amount::ZERO))))
        };
        let is_absent = if has_own_amounts { !is_posting() } else { self.is_contra() };
        if is_absent { Side::Absent } else { Side::Keyless }
    }

    /// The company code; blank if the record has none.
    pub fn company_code(&self) -> Result<Cow<'a, str>, String> {
        match &self.layout.company_code {
            Some(value) => self.text(value).map(Option::unwrap_or_default),
            None => Ok(Cow::Borrowed("")),
        }
    }

    /// A text by its place in [`ERP_TEXTS`] and then [`REVIEW_TEXTS`]; none if it is blank.
    pub fn named_text(&self, place: usize) -> Result<Option<Cow<'a, str>>, String> {
        let own = self.contra.and_then(|contra| contra.texts[place].as_ref());
        match own.or(self.layout.texts[place].as_ref()) {
            Some(value) => Ok(self.text(value)?.filter(|text| !text.trim().is_empty())),
            None => Ok(None),
        }
    }

    /// Whether the row is the record's second, whose signs are turned.
    pub fn is_contra(&self) -> bool {
        self.contra.is_some()
    }

    /// Whether the row is the record's second and has amounts of its own.
    pub fn has_own_amounts(&self) -> bool {
        self.contra.is_some_and(|contra| contra.amounts.is_some())
    }

    /// Where an amount comes from, by its place in [`AMOUNTS`].
    pub fn amount_source(&self, place: usize) -> Option<&'a AmountSource> {
        let own = self.contra.and_then(|contra| contra.amounts.as_ref());
        own.unwrap_or(&self.layout.amounts)[place].as_ref()
    }

    /// How many columns the file has.
    pub fn width(&self) -> usize {
        self.layout.columns.names.len()
    }

    /// Whether the row has columns that Aura does not know and that are kept.
    pub fn has_extra(&self) -> bool {
        !self.layout.extra.is_empty()
    }

    /// The first column that Aura does not know and that is kept whose cell is a formula without a value, and why
    /// that is bad.
    pub fn extra_fault(&self) -> Option<(&'a str, String)> {
        let names = &self.layout.columns.names;
        self.layout.extra.iter().find_map(|place| Some((names[*place].as_str(), self.has_value(*place).err()?)))
    }

    /// The columns that Aura does not know and that are kept: their names and cells.
    pub fn extra(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (names, record) = (&self.layout.columns.names, self.record);
        self.layout.extra.iter().map(move |place| (names[*place].as_str(), record.get(*place).unwrap_or_default()))
    }
}

/// The names of columns that a profile looks for, as [`key_of`] makes them: they tell a header.
pub fn expected_names(profile: &MappingProfile) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |columns: &[ColumnRef]| {
        names.extend(columns.iter().filter_map(|column| match column {
            ColumnRef::Name(name) => Some(key_of(name)),
            ColumnRef::Place(_) => None,
        }));
    };
    for target in Target::all() {
        match profile.columns.get(&target) {
            Some(rule) => add(rule.columns()),
            None if target == Target::BALANCE && profile.balance.is_some() => {}
            None => add(&[ColumnRef::Name(target.as_str().to_owned())]),
        }
    }
    profile.contra.values().for_each(|rule| add(rule.columns()));
    for rule in [&profile.balance, &profile.balance_carryforward].into_iter().flatten() {
        match rule {
            BalanceRule::Column { column, .. } => add(column),
            BalanceRule::Sides { debit, credit, .. } => [debit, credit].into_iter().for_each(|columns| add(columns)),
            BalanceRule::Indicated { column, indicator, .. } => {
                [column.as_slice(), indicator.columns()].into_iter().for_each(&mut add);
            }
        }
    }
    names.sort();
    names.dedup();
    names
}
