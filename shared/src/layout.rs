//! The layout: a mapping profile held against the columns that a file has.

mod amount;
mod value;

use std::{borrow::Cow, collections::HashSet};

use self::value::Value;
pub use self::{
    amount::{AmountSource, Reading},
    value::Values,
};
use crate::{
    columns::{AMOUNTS, ERP_TEXTS, FileColumns, REQUIRED, REVIEW_TEXTS, TEXTS, key_of},
    failure::{ErrorCode, Failure, SchemaFault, Stage},
    mapping_profile::{
        BalanceRule, ColumnRef, ColumnRule, Condition, ExtraColumns, FilterColumn, KeepOrDrop, MappingProfile,
        RepeatedHeaders, Target, Test, ValueRule,
    },
    records::Record,
    slice::Slice,
};

/// Where each column of the ledger stands in the records of one file.
#[derive(Debug)]
pub struct Layout {
    /// The file's columns.
    pub columns: FileColumns,
    /// The entity.
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
    /// What the cells that are filled down held last.
    held: Vec<String>,
}

/// The columns of a second row that each record makes.
#[derive(Debug)]
struct Contra {
    account_code: Value,
    /// Those that differ from the first row's.
    texts: [Option<Value>; TEXTS],
}

#[derive(Debug)]
struct Filter {
    /// The cell, or any.
    place: Option<usize>,
    test: Test,
}

/// What becomes of a record before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sifted {
    /// It counts.
    Kept,
    /// The profile leaves it out.
    Dropped,
    /// It and all after it are a footer.
    End,
}

/// Finds columns in a header and notes which were found.
struct Finder<'a> {
    profile: &'a MappingProfile,
    keys: Vec<String>,
    used: Vec<bool>,
    missing: Vec<(&'static str, String)>,
    fills: usize,
}

impl Layout {
    /// Holds a profile against the cells of a header.
    ///
    /// # Errors
    /// `schema_invalid` if a required column is missing, or a name stands twice.
    pub fn new(profile: &MappingProfile, cells: &[String]) -> Result<Self, Failure> {
        let (names, twice) = names(cells, profile.text.repeated_headers);
        let keys: Vec<String> = names.iter().map(|name| key_of(name)).collect();
        let used = vec![false; names.len()];
        let mut finder = Finder { profile, keys, used, missing: Vec::new(), fills: 0 };
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

        let filled = Self::filled(&[&entity, &period, &company_code, &account_code], &amounts, &texts);
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
        let held = vec![String::new(); finder.fills];
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
            held,
        })
    }

    fn filled(
        keys: &[&Option<Value>; 4],
        amounts: &[Option<AmountSource>; AMOUNTS.len()],
        texts: &[Option<Value>; TEXTS],
    ) -> Vec<&'static str> {
        let names = ["entity", "period", "company_code", "account_code"];
        let keys = names.into_iter().zip(keys.iter().map(|value| value.is_some()));
        let amounts = AMOUNTS.into_iter().zip(amounts.iter().map(Option::is_some));
        let texts = ERP_TEXTS.into_iter().chain(REVIEW_TEXTS).zip(texts.iter().map(Option::is_some));
        keys.chain(amounts).chain(texts).filter(|(_, filled)| *filled).map(|(name, _)| name).collect()
    }

    /// Holds a record against the profile's conditions, and remembers what later cells are filled from.
    pub fn sift(&mut self, record: &Record<'_>) -> Sifted {
        self.remember(record);
        if self.end.iter().any(|filter| filter.holds(record)) {
            return Sifted::End;
        }
        let dropped = self.drop.iter().any(|filter| filter.holds(record));
        if dropped || !self.keep.iter().all(|filter| filter.holds(record)) { Sifted::Dropped } else { Sifted::Kept }
    }

    fn remember(&mut self, record: &Record<'_>) {
        let Self { entity, period, company_code, account_code, texts, contra, held, .. } = self;
        if held.is_empty() {
            return;
        }
        let keys = [Some(&*entity), Some(&*period), company_code.as_ref(), Some(&*account_code)];
        let contra = contra.as_deref();
        let contra_texts = contra.iter().flat_map(|contra| contra.texts.iter().map(Option::as_ref));
        let contra = contra_texts.chain([contra.map(|contra| &contra.account_code)]);
        for value in keys.into_iter().chain(texts.iter().map(Option::as_ref)).chain(contra).flatten() {
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

    /// Whether each record makes a second row.
    pub fn has_contra(&self) -> bool {
        self.contra.is_some()
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

    /// Where an amount comes from, by its place in [`AMOUNTS`].
    pub fn amount_source(&self, place: usize) -> Option<&'a AmountSource> {
        self.layout.amounts[place].as_ref()
    }

    /// How many columns the file has.
    pub fn width(&self) -> usize {
        self.layout.columns.names.len()
    }

    /// Whether the row has columns that Aura does not know and that are kept.
    pub fn has_extra(&self) -> bool {
        !self.layout.extra.is_empty()
    }

    /// The columns that Aura does not know and that are kept: their names and cells.
    pub fn extra(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (names, record) = (&self.layout.columns.names, self.record);
        self.layout.extra.iter().map(move |place| (names[*place].as_str(), record.get(*place).unwrap_or_default()))
    }
}

impl Filter {
    fn holds(&self, record: &Record<'_>) -> bool {
        match self.place {
            Some(place) => self.test.holds(record.get(place).unwrap_or_default()),
            None => record.iter().any(|cell| self.test.holds(cell)),
        }
    }
}

/// The names of a header's cells, and those that stand twice.
fn names(cells: &[String], repeated: RepeatedHeaders) -> (Vec<String>, Vec<String>) {
    let (mut names, mut keys, mut twice): (Vec<String>, Vec<String>, Vec<String>) =
        (Vec::new(), Vec::new(), Vec::new());
    for (place, cell) in cells.iter().enumerate() {
        let name = match cell.split_whitespace().collect::<Vec<_>>().join(" ") {
            empty if empty.is_empty() => format!("column_{}", place + 1),
            _ => cell.trim().trim_matches('\u{feff}').to_owned(),
        };
        let key = key_of(&name);
        let before = keys.iter().filter(|known| **known == key).count();
        match repeated {
            RepeatedHeaders::Number if before > 0 => {
                let taken = |name: &String| names.iter().any(|known| key_of(known) == key_of(name));
                let numbered = (before + 1..).map(|number| format!("{name} ({number})")).find(|name| !taken(name));
                names.extend(numbered);
            }
            RepeatedHeaders::Refuse if before > 0 && !twice.contains(&name) => {
                twice.push(name.clone());
                names.push(name);
            }
            RepeatedHeaders::Number | RepeatedHeaders::Refuse => names.push(name),
        }
        keys.push(key);
    }
    (names, twice)
}

impl Finder<'_> {
    fn place(&mut self, column: &ColumnRef) -> Option<usize> {
        let place = match column {
            ColumnRef::Place(place) => Some(place.get() as usize - 1).filter(|place| *place < self.keys.len()),
            ColumnRef::Name(name) => {
                let key = key_of(name);
                self.keys.iter().position(|known| *known == key)
            }
        }?;
        self.used[place] = true;
        Some(place)
    }

    /// The first of several columns that the file has; a missing one is noted under the ledger's column.
    fn first(&mut self, target: &'static str, columns: &[ColumnRef]) -> Option<usize> {
        let found = columns.iter().find_map(|column| self.place(column));
        if found.is_none() {
            let looked: Vec<_> = columns.iter().map(ToString::to_string).collect();
            self.missing.push((target, looked.join(" or ")));
        }
        found
    }

    fn named(&mut self, name: &'static str) -> Option<Value> {
        let target = Target::all().find(|target| target.as_str() == name)?;
        self.value(target)
    }

    /// Where a column of the ledger comes from, if the file or the profile has it.
    fn value(&mut self, target: Target) -> Option<Value> {
        let Some(rule) = self.profile.columns.get(&target) else {
            let own = ColumnRef::Name(target.as_str().to_owned());
            return self.place(&own).map(|place| self.cell(place));
        };
        let missing = self.missing.len();
        let value = self.ruled(target, rule);
        // An optional column that the file lacks is none; alternatives of a required one are told.
        if !REQUIRED.contains(&target.as_str()) {
            self.missing.truncate(missing);
        }
        value
    }

    fn contra(&mut self) -> Option<Box<Contra>> {
        let profile = self.profile;
        let account = profile.contra.get(&Target::ACCOUNT_CODE)?;
        let account_code = self.ruled(Target::ACCOUNT_CODE, account)?;
        let texts = std::array::from_fn(|place| {
            let name = ERP_TEXTS.get(place).unwrap_or_else(|| &REVIEW_TEXTS[place - ERP_TEXTS.len()]);
            let (target, rule) = profile.contra.iter().find(|(target, _)| target.as_str() == *name)?;
            self.ruled(*target, rule)
        });
        Some(Box::new(Contra { account_code, texts }))
    }

    fn cell(&self, place: usize) -> Value {
        if self.profile.text.trim_cells { Value::Trimmed(place) } else { Value::Cell(place) }
    }

    fn ruled(&mut self, target: Target, rule: &ColumnRule) -> Option<Value> {
        let origin = match &rule.value {
            ValueRule::Column(columns) => self.first(target.as_str(), columns).map(|place| self.cell(place))?,
            ValueRule::Joined(columns, with) => {
                let places: Option<Vec<usize>> =
                    columns.iter().map(|column| self.first(target.as_str(), std::slice::from_ref(column))).collect();
                Value::Joined(places?, with.clone())
            }
            ValueRule::Constant(text) => Value::Constant(text.clone()),
            ValueRule::Message(from) => Value::Message(*from),
        };
        if rule.is_plain() {
            return Some(origin);
        }
        let slot = rule.fill_down.then(|| {
            self.fills += 1;
            self.fills - 1
        });
        let decides = ["entity", "period", "bs_pl", "status"].contains(&target.as_str());
        Some(Value::Ruled(Box::new(value::Ruled { origin, rule: rule.clone(), slot, decides })))
    }

    fn amount(&mut self, name: &'static str) -> Option<AmountSource> {
        let missing = self.missing.len();
        let source = self.amount_source(name);
        // A table of its own is meant; a name under [columns] that the file lacks leaves an optional column out.
        let meant = name == "balance_carryforward" && self.profile.balance_carryforward.is_some();
        if !REQUIRED.contains(&name) && !meant {
            self.missing.truncate(missing);
        }
        source
    }

    fn amount_source(&mut self, name: &'static str) -> Option<AmountSource> {
        let own = match name {
            "balance" => self.profile.balance.as_ref(),
            "balance_carryforward" => self.profile.balance_carryforward.as_ref(),
            _ => None,
        };
        let Some(rule) = own else { return self.named(name).map(|value| AmountSource::Text { value, negate: false }) };
        match rule {
            BalanceRule::Column { column, negate } => {
                let value = Value::Cell(self.first(name, column)?);
                Some(AmountSource::Text { value, negate: *negate })
            }
            BalanceRule::Sides { debit, credit, signed, negate } => {
                let (debit, credit) = (self.first(name, debit), self.first(name, credit));
                Some(AmountSource::Sides { debit: debit?, credit: credit?, signed: *signed, negate: *negate })
            }
            BalanceRule::Indicated { column, indicator, debit_values, credit_values, negate } => {
                let (column, indicator) = (self.first(name, column), self.first(name, indicator));
                Some(AmountSource::Indicated {
                    column: column?,
                    indicator: indicator?,
                    debit: debit_values.clone(),
                    credit: credit_values.clone(),
                    negate: *negate,
                })
            }
        }
    }

    fn filters(&mut self, conditions: &[Condition]) -> Vec<Filter> {
        let mut filters = Vec::new();
        for condition in conditions {
            let place = match &condition.column {
                FilterColumn::Any => None,
                // A place past the header may still stand in a title line.
                FilterColumn::One(ColumnRef::Place(place)) => Some(place.get() as usize - 1),
                FilterColumn::One(column) => match self.place_of_filter(column) {
                    Some(place) => Some(place),
                    None => {
                        self.missing.push(("rows", column.to_string()));
                        continue;
                    }
                },
            };
            filters.push(Filter { place, test: condition.test.clone() });
        }
        filters
    }

    /// A column that is only looked at stays unknown, and is kept if unknown ones are.
    fn place_of_filter(&self, column: &ColumnRef) -> Option<usize> {
        let ColumnRef::Name(name) = column else { return None };
        let key = key_of(name);
        self.keys.iter().position(|known| *known == key)
    }

    fn fault(&self, columns: &FileColumns, missing: &[&str], twice: &[String]) -> Failure {
        let mut faults = Vec::new();
        if !missing.is_empty() {
            faults.push(format!("required columns are missing: {}", missing.join(", ")));
        }
        for (target, looked) in &self.missing {
            faults.push(match *target {
                "rows" => format!("the mapping profile chooses rows by {looked}, which the file lacks"),
                _ => format!("the mapping profile takes {target} from {looked}, which the file lacks"),
            });
        }
        if !twice.is_empty() {
            faults.push(format!("columns stand twice: {}", twice.join(", ")));
        }
        let mut failure = Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, faults.join("; "));
        failure.schema = Some(Box::new(SchemaFault {
            missing_required: missing.iter().map(|name| (*name).to_owned()).collect(),
            extra_columns: columns.extra_columns.clone(),
            present_optional: columns.present_optional(),
        }));
        failure
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
        match profile.columns.get(&target).map(|rule| &rule.value) {
            Some(ValueRule::Column(columns) | ValueRule::Joined(columns, _)) => add(columns),
            Some(ValueRule::Constant(_) | ValueRule::Message(_)) => {}
            None => add(&[ColumnRef::Name(target.as_str().to_owned())]),
        }
    }
    for rule in profile.contra.values() {
        if let ValueRule::Column(columns) | ValueRule::Joined(columns, _) = &rule.value {
            add(columns);
        }
    }
    for rule in [&profile.balance, &profile.balance_carryforward].into_iter().flatten() {
        match rule {
            BalanceRule::Column { column, .. } => add(column),
            BalanceRule::Sides { debit, credit, .. } => [debit, credit].into_iter().for_each(|columns| add(columns)),
            BalanceRule::Indicated { column, indicator, .. } => {
                [column, indicator].into_iter().for_each(|columns| add(columns));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}
