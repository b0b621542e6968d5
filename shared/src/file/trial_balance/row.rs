//! One record: whose row it is, and what the ledger would hold of it.

use std::borrow::Cow;

use super::LedgerRow;
use crate::{
    amount::Amount,
    file::{
        columns::{AMOUNTS, ERP_TEXTS, REVIEW_TEXTS, TEXTS},
        layout::{AmountContext, Values},
    },
    jsonb,
    message::failure::BadRow,
    slice::{Entity, Period, Slice},
};

/// The longest code, in bytes; PostgreSQL's index holds no longer keys than about 2,700.
const MAX_CODE: usize = 255;

/// Whose row a record is.
pub(super) enum Belongs {
    Here,
    /// Its entity or period, which this names, is blank.
    HereIfAlone(&'static str),
    /// The slice it is of.
    Elsewhere(String, String),
    Nowhere(BadRow),
}

/// Tells whose row a record is.
pub(super) fn belongs(values: &Values<'_>, slice: &Slice, whole: bool) -> Belongs {
    let line = values.record.line;
    let nowhere =
        |column: &str, reason| Belongs::Nowhere(BadRow { line, column: Some(column.to_owned()), reason, text: None });
    let (entity, period) = (values.entity(), values.period());
    let entity = match &entity {
        Ok(text) => text.as_deref().map(str::trim),
        Err(reason) => return nowhere("entity", reason.clone()),
    };
    let period = match &period {
        Ok(text) => text.as_deref().map(str::trim),
        Err(reason) => return nowhere("period", reason.clone()),
    };
    let matches = |cell: Option<&str>, ours: &str| cell.is_some_and(|cell| cell == ours || cell.is_empty());
    let ours = matches(entity, slice.entity.as_str()) && matches(period, slice.period.as_str());
    if let (false, Some(entity), Some(period)) = (ours, entity, period)
        && (entity.is_empty() || entity.parse::<Entity>().is_ok())
        && (period.is_empty() || period.parse::<Period>().is_ok())
    {
        return Belongs::Elsewhere(entity.to_owned(), period.to_owned());
    }
    if !whole {
        let (fields, width) = (values.record.len(), values.width());
        let reason = format!("has {fields} fields where the header has {width}");
        return Belongs::Nowhere(BadRow { line, column: None, reason, text: None });
    }
    if !ours {
        // A row that no job could load must not pass for one of another job.
        return match (entity, period) {
            (Some(entity), _) if !entity.is_empty() && entity.parse::<Entity>().is_err() => {
                nowhere("entity", "is not an entity's code".to_owned())
            }
            _ => nowhere("period", "is not a period of the form YYYY-MM".to_owned()),
        };
    }
    match (entity, period) {
        (Some(""), _) => Belongs::HereIfAlone("entity"),
        (_, Some("")) => Belongs::HereIfAlone("period"),
        _ => Belongs::Here,
    }
}

/// The texts of a row that the data profile counts.
type Counted<'a> = [Cow<'a, str>; 6];

/// A record as a row of the ledger, its balance unless that is blank, and the texts that are counted.
pub(super) fn row<'a>(
    values: &Values<'a>,
    slice: &'a Slice,
    reading: &mut AmountContext<'_>,
) -> Result<(LedgerRow<'a>, Option<Amount>, Counted<'a>), BadRow> {
    let line = values.record.line;
    let bad = |column: &str, reason: String| BadRow { line, column: Some(column.to_owned()), reason, text: None };
    let code = |code: Result<Cow<'a, str>, String>, name: &str| {
        let code = trimmed(code.map_err(|reason| bad(name, reason))?);
        if code.len() > MAX_CODE { Err(bad(name, format!("is longer than {MAX_CODE} bytes"))) } else { Ok(code) }
    };
    let account_code = code(values.account_code(), "account_code")?;
    if account_code.is_empty() {
        let of = if values.is_contra() { "of the contra account " } else { "" };
        let reason = match values.names_account() {
            true => "has no such part as the mapping profile's part looks for",
            false => "is blank",
        };
        return Err(bad("account_code", format!("{of}{reason}")));
    }
    let company_code = code(values.company_code(), "company_code")?;
    let mut amounts = [None; AMOUNTS.len()];
    for (place, (amount, name)) in amounts.iter_mut().zip(AMOUNTS).enumerate() {
        if let Some(source) = values.amount_source(place) {
            *amount = source.read(values, reading).map_err(|reason| bad(name, reason))?;
        }
    }
    if values.is_contra() {
        let turned = |amount: Option<Amount>| amount.and_then(|amount| Amount::from_units(-amount.units()));
        let [balance, forward, debit, credit] = amounts;
        let [debit, credit] = if values.has_own_amounts() { [debit, credit] } else { [credit, debit] };
        amounts = [turned(balance), turned(forward), debit, credit];
    }
    let mut texts = [const { None }; TEXTS];
    for (place, (text, name)) in texts.iter_mut().zip(ERP_TEXTS.into_iter().chain(REVIEW_TEXTS)).enumerate() {
        *text = values.named_text(place).map_err(|reason| bad(name, reason))?;
    }
    let counted = [
        values.entity().ok().flatten().unwrap_or_default(),
        company_code.clone(),
        values.period().ok().flatten().unwrap_or_default(),
        texts[1].clone().unwrap_or_default(),
        texts[2].clone().unwrap_or_default(),
        texts[3].clone().unwrap_or_default(),
    ];
    if let Some((name, reason)) = values.extra_fault() {
        return Err(bad(name, reason));
    }
    let balance = amounts[0];
    amounts[0] = Some(balance.unwrap_or(Amount::ZERO));
    let company_code = if company_code.is_empty() { Cow::Borrowed(slice.entity.as_str()) } else { company_code };
    let extra = values.has_extra().then(|| jsonb::object(values.extra()));
    Ok((LedgerRow { line, company_code, account_code, amounts, texts, extra }, balance, counted))
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
