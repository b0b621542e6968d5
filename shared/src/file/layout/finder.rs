//! Finding a profile's columns in a header.

use std::collections::HashMap;

use super::{
    AmountSource, Contra, Filter, SidesOf, expected_names,
    value::{Ruled, Value},
};
use crate::{
    file::{
        amount_text::AmountReader,
        columns::{AMOUNTS, ERP_TEXTS, FileColumns, REQUIRED, REVIEW_TEXTS, key_of},
        mapping_profile::{
            BalanceRule, ColumnRef, ColumnRule, Condition, DecimalMark, FilterColumn, MappingProfile, Target, ValueRule,
        },
    },
    message::failure::{ErrorCode, Failure, SchemaFault, Stage, clean_within},
};

/// Columns of the file that a failure names, and how long that may be, in bytes.
const NAMED: usize = 30;
const LONGEST_NAMES: usize = 1_000;

/// Finds columns in a header and notes which were found.
pub(super) struct Finder<'a> {
    pub(super) profile: &'a MappingProfile,
    pub(super) keys: Vec<String>,
    /// The first place of each key.
    places: HashMap<String, usize>,
    pub(super) used: Vec<bool>,
    pub(super) missing: Vec<(&'static str, String)>,
    pub(super) fills: usize,
}

impl<'a> Finder<'a> {
    /// Looks for columns among these keys.
    pub(super) fn new(profile: &'a MappingProfile, keys: Vec<String>) -> Self {
        let mut places = HashMap::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            places.entry(key.clone()).or_insert(place);
        }
        Self { profile, used: vec![false; keys.len()], keys, places, missing: Vec::new(), fills: 0 }
    }

    fn place(&mut self, column: &ColumnRef) -> Option<usize> {
        let place = match column {
            ColumnRef::Place(place) => Some(place.get() as usize - 1).filter(|place| *place < self.keys.len()),
            ColumnRef::Name(name) => self.places.get(&key_of(name)).copied(),
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

    pub(super) fn named(&mut self, name: &'static str) -> Option<Value> {
        let target = Target::all().find(|target| target.as_str() == name)?;
        self.value(target)
    }

    /// Where a column of the ledger comes from, if the file or the profile has it.
    pub(super) fn value(&mut self, target: Target) -> Option<Value> {
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

    pub(super) fn contra(&mut self) -> Option<Box<Contra>> {
        let profile = self.profile;
        let account = profile.contra.get(&Target::ACCOUNT_CODE)?;
        let account_code = self.ruled(Target::ACCOUNT_CODE, account)?;
        let texts = std::array::from_fn(|place| {
            let name = ERP_TEXTS.get(place).unwrap_or_else(|| &REVIEW_TEXTS[place - ERP_TEXTS.len()]);
            let (target, rule) = profile.contra.iter().find(|(target, _)| target.as_str() == *name)?;
            let missing = self.missing.len();
            let value = self.ruled(*target, rule);
            // As under [columns], an optional column that the file lacks is none.
            if !REQUIRED.contains(name) {
                self.missing.truncate(missing);
            }
            value
        });
        let has_amounts = profile.contra.keys().any(|target| AMOUNTS.contains(&target.as_str()));
        let amounts = has_amounts.then(|| {
            AMOUNTS.map(|name| {
                let (target, rule) = profile.contra.iter().find(|(target, _)| target.as_str() == name)?;
                Some(AmountSource::Text { value: self.ruled(*target, rule)?, negate: false })
            })
        });
        Some(Box::new(Contra { account_code, texts, amounts }))
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
        Some(Value::Ruled(Box::new(Ruled { origin, rule: rule.clone(), slot, decides })))
    }

    pub(super) fn amount(&mut self, name: &'static str) -> Option<AmountSource> {
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
                let of = if name == "balance" { SidesOf::Balance } else { SidesOf::Forward };
                Some(AmountSource::Sides { debit: debit?, credit: credit?, signed: *signed, of, negate: *negate })
            }
            BalanceRule::Indicated { column, indicator, debit_values, credit_values, negate } => {
                let target = Target::all().find(|target| target.as_str() == name)?;
                let (column, indicator) = (self.first(name, column), self.ruled(target, indicator));
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

    pub(super) fn filters(&mut self, conditions: &[Condition]) -> Vec<Filter> {
        let mut filters = Vec::new();
        for (number, condition) in conditions.iter().enumerate() {
            let place = match &condition.column {
                FilterColumn::Any => None,
                FilterColumn::First(columns) => {
                    // A place past the header may still stand in a title line.
                    let found = columns.iter().find_map(|column| match column {
                        ColumnRef::Place(place) => Some(place.get() as usize - 1),
                        ColumnRef::Name(_) => self.place_of(column),
                    });
                    if found.is_none() {
                        let looked: Vec<_> = columns.iter().map(ToString::to_string).collect();
                        self.missing.push(("rows", looked.join(" or ")));
                        continue;
                    }
                    found
                }
            };
            filters.push(Filter::new(place, number, &condition.test));
        }
        filters
    }

    /// The conditions under which a row is refused. What a file lacks, it cannot be refused for.
    pub(super) fn refusals(&self, conditions: &[Condition]) -> Vec<Filter> {
        let found = conditions.iter().enumerate().filter_map(|(number, condition)| {
            let place = match &condition.column {
                FilterColumn::Any => None,
                FilterColumn::First(columns) => Some(columns.iter().find_map(|column| self.place_of(column))?),
            };
            Some(Filter::new(place, number, &condition.test))
        });
        found.collect()
    }

    /// A column that is only looked at, if the file has it. It stays unknown, and is kept if unknown ones are.
    pub(super) fn place_of(&self, column: &ColumnRef) -> Option<usize> {
        match column {
            ColumnRef::Name(name) => self.places.get(&key_of(name)).copied(),
            ColumnRef::Place(place) => Some(place.get() as usize - 1).filter(|place| *place < self.keys.len()),
        }
    }

    /// The column by whose heading the headings look like a row of figures, if they do. A heading that the profile
    /// names is one.
    pub(super) fn looks_like_row(
        &self,
        names: &[String],
        places: impl Iterator<Item = (usize, bool)>,
    ) -> Option<&'static str> {
        let expected = expected_names(self.profile);
        let reader = AmountReader::new(&self.profile.amounts);
        let is_figure = |text: &str, is_code: bool| match is_code {
            true => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            false => [DecimalMark::Point, DecimalMark::Comma]
                .iter()
                .any(|mark| matches!(reader.read(text, *mark), Ok(Some(_)))),
        };
        let mut looks = places.filter(|(place, is_code)| {
            !expected.contains(&self.keys[*place]) && is_figure(names[*place].trim(), *is_code)
        });
        looks.next().map(|(_, is_code)| if is_code { "the account code" } else { "an amount" })
    }

    pub(super) fn fault(&self, columns: &FileColumns, missing: &[&str], twice: &[String]) -> Failure {
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
        faults.push(has(&columns.names));
        let mut failure = Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, faults.join("; "));
        failure.schema = Some(Box::new(SchemaFault {
            missing_required: missing.iter().map(|name| (*name).to_owned()).collect(),
            extra_columns: columns.extra_columns.clone(),
            present_optional: columns.present_optional(),
        }));
        failure
    }
}

/// The columns that a file has, as far as they are named.
fn has(names: &[String]) -> String {
    if let [name] = names
        && let Some(mark) = [';', ',', '\t', '|'].into_iter().find(|mark| name.contains(*mark))
    {
        let mark = if mark == '\t' { "tab".to_owned() } else { mark.to_string() };
        return format!("the file has a single column, whose name holds what may be the delimiter: {mark:?}");
    }
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the file has {}{more}", clean_within(&shown.join(", "), LONGEST_NAMES))
}
