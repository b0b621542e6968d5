//! A draft of a mapping profile for a file that no profile knows.
//!
//! Whatever is a guess is told as one, beside the line that rests on it; what would decide a figure is left open.

mod cells;
mod headings;
mod questions;

use std::{
    fmt::{self, Write},
    path::Path,
};

use serde::Serialize;
use shared::{
    file::{
        amount_text::{AmountReader, Evidence},
        columns::{REQUIRED, key_of},
        dialect::FileLimits,
        mapping_profile::{AmountStyle, DecimalMark, MappingProfile},
    },
    message::failure::Failure,
};

use self::{
    cells::{Cells, cells, usual_width},
    headings::Heading,
    questions::Sample,
};

/// Signs of currencies that are recognised beside a figure.
const CURRENCY: [&str; 5] = ["$", "€", "£", "¥", "₹"];

/// A draft, as TOML.
#[derive(Serialize)]
pub(super) struct Draft {
    toml: String,
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.toml)
    }
}

/// Drafts a profile, below what is to be said of those that there are.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn draft(path: &Path, limits: FileLimits, fitting: &[String]) -> Result<Draft, Failure> {
    let cells = cells(path, limits)?;
    let place = header_place(&cells.records);
    let header = cells.records.get(place).cloned().unwrap_or_default();
    let found: Vec<(Heading, usize)> = headings::find(&header);
    let rows = cells.records.get(place + 1..).unwrap_or_default();
    let told = fitting.iter().map(|line| format!("# {}\n", line.replace(char::is_control, " ")));
    let mut toml: String = told.collect();
    let written = write(&mut toml, &cells, place, &header, &found, rows);
    written.map_err(|_| {
        Failure::new(
            shared::message::failure::ErrorCode::StorageUnavailable,
            shared::message::failure::Stage::Parse,
            "the draft cannot be written",
        )
    })?;
    // What is left open is no value yet, so that only the rest of it can be tried.
    let settled: String = toml.lines().filter(|line| !line.contains("\"?\"")).map(|line| format!("{line}\n")).collect();
    match MappingProfile::parse(shared::message::job::SourceName::default(), &settled) {
        Ok(_) => Ok(Draft { toml }),
        Err(invalid) => Err(Failure::new(
            shared::message::failure::ErrorCode::SchemaInvalid,
            shared::message::failure::Stage::Parse,
            format!("no draft can be made of the file's headings ({invalid}); write the profile by hand"),
        )),
    }
}

/// The first record that names most of the ledger's columns, or else the first of the usual width.
fn header_place(records: &[Vec<String>]) -> usize {
    let known = |record: &Vec<String>| headings::find(record).len();
    let searched = records.iter().take(100).enumerate();
    let best = searched.max_by_key(|(place, record)| (known(record), std::cmp::Reverse(*place)));
    match best {
        Some((place, record)) if known(record) > 1 => place,
        _ => records.iter().position(|record| record.len() == usual_width(records)).unwrap_or(0),
    }
}

fn write(
    toml: &mut String,
    cells: &Cells,
    place: usize,
    header: &[String],
    found: &[(Heading, usize)],
    rows: &[Vec<String>],
) -> fmt::Result {
    let at = |heading: Heading| found.iter().find(|(known, _)| *known == heading).map(|(_, place)| *place);
    let named = |place: usize| quoted(header[place].trim());
    let account = at(Heading::Target("account_code"));
    let has_account =
        |row: &&Vec<String>| account.is_none_or(|place| row.get(place).is_some_and(|cell| !cell.trim().is_empty()));
    let reader = AmountReader::new(&style());
    let sample = Sample {
        header,
        rows: rows.iter().filter(has_account).map(Vec::as_slice).collect(),
        reader: &reader,
        decimal: decimal_of(&reader, found, rows),
    };
    writeln!(toml, "# A draft. Go through every line, then try it: aura-producer check FILE --source NAME")?;
    writeln!(toml, "# What is \"?\" only you can decide; with one of them left, the profile does not load.")?;
    writeln!(toml, "description = \"\"\nmode = \"upsert\"                 # \"replace\" for full exports")?;
    let repeated = if account.is_some() { sample.repeated(found) } else { 0 };
    if repeated > 0 {
        writeln!(
            toml,
            "repeated_keys = \"?\"   # {repeated} of {} rows have the account of an earlier one: \"sum\" adds them up to {} \
             accounts, \"last\" takes the last one of each, \"refuse\" fails the job",
            sample.rows.len(),
            sample.rows.len() - repeated
        )?;
    }
    writeln!(toml, "\n[text]")?;
    if let Some(encoding) = cells.encoding {
        writeln!(
            toml,
            "encoding = {}   # guessed from its letters: look at names with accents",
            quoted(&encoding.to_ascii_lowercase())
        )?;
    }
    if let Some(delimiter) = cells.delimiter {
        let delimiter = if delimiter == b'\t' { "tab".to_owned() } else { char::from(delimiter).to_string() };
        writeln!(toml, "delimiter = {}", quoted(&delimiter))?;
    }
    if cells.quotes_are_text {
        writeln!(toml, "quote = \"none\"                  # quotes stand within cells that they do not surround")?;
    }
    if let Some(sheet) = &cells.sheet {
        writeln!(toml, "sheet = {}", quoted(sheet))?;
    }
    if place > 0 {
        let mut marks: Vec<usize> = found.iter().map(|(_, place)| *place).take(3).collect();
        if marks.is_empty() {
            marks = (0..header.len()).filter(|place| !header[*place].trim().is_empty()).take(3).collect();
        }
        let marks: Vec<String> = marks.into_iter().map(named).collect();
        writeln!(toml, "header_contains = [{}]   # {place} records above it are passed over", marks.join(", "))?;
    }
    if repeats(header) {
        writeln!(toml, "repeated_headers = \"number\"   # a name stands twice: the second is called \"Name (2)\"")?;
    }
    write_rows(toml, at(Heading::Target("account_code")), rows)?;
    write_amounts(toml, found, rows)?;
    match (at(Heading::Target("balance")), at(Heading::Debit), at(Heading::Credit), at(Heading::Indicator)) {
        (Some(_), _, _, None) => {}
        (Some(amount), _, _, Some(indicator)) => {
            writeln!(toml, "\n[balance]\ncolumn = {}\nindicator = {}", named(amount), named(indicator))?;
            match indicator_values(rows, indicator) {
                Ok((debit, credit)) => writeln!(toml, "debit_values = [{debit}]\ncredit_values = [{credit}]")?,
                Err(values) => {
                    writeln!(toml, "debit_values = \"?\"   # which of {values} mean debit: a list of texts")?;
                    writeln!(toml, "credit_values = \"?\"   # which of {values} mean credit: a list of texts")?;
                }
            }
        }
        (None, Some(debit), Some(credit), _) => {
            writeln!(toml, "\n[balance]\ndebit = {}\ncredit = {}", named(debit), named(credit))?;
            let ((_, debits_below), (credits_above, credits_below)) = (sample.signs(debit), sample.signs(credit));
            if debits_below > 0 || credits_below > 0 {
                let (added, subtracted) = sample.both_sums(debit, credit);
                writeln!(
                    toml,
                    "signed = \"?\"   # {credits_below} credits are negative, {credits_above} positive, {debits_below} debits \
                     negative: true if credits carry their minus already (the rows sum to {added}), false if they are \
                     subtracted ({subtracted})"
                )?;
            }
        }
        _ => {}
    }
    writeln!(toml, "\n[columns]")?;
    let indicated = at(Heading::Indicator).is_some() && at(Heading::Target("balance")).is_some();
    let sides = at(Heading::Debit).is_some() && at(Heading::Credit).is_some();
    let amount = at(Heading::Target("balance"));
    let candidates = sample.candidates();
    let known: Vec<usize> = found
        .iter()
        .filter(|(heading, place)| heading.is_amount() && Some(*place) != amount)
        .map(|(_, place)| *place)
        .collect();
    let open = Sample::others(candidates, &known);
    let is_open = !indicated && (amount.is_none() && !sides || open.len() > 1 && amount.is_some());
    for (heading, place) in found {
        let Heading::Target(target) = heading else { continue };
        if *target != "balance" || !(indicated || is_open) {
            writeln!(toml, "{target} = {}", named(*place))?;
        }
    }
    if is_open {
        writeln!(
            toml,
            "# These columns hold amounts: which is the balance to load (closing), and which are movements?"
        )?;
        sample.write_candidates(toml, &open)?;
        writeln!(
            toml,
            "balance = \"?\"   # the column of the amount; or [balance] with debit and credit, or an indicator"
        )?;
    }
    let dates = sample.dates();
    for target in REQUIRED.into_iter().filter(|target| *target != "balance" && at(Heading::Target(target)).is_none()) {
        match target {
            "period" if !dates.is_empty() => {
                let told: Vec<_> = dates
                    .iter()
                    .map(|(place, format)| format!("{{ column = {}, format = \"{format}\" }}", named(*place)))
                    .collect();
                writeln!(
                    toml,
                    "period = \"?\"   # {{ message = \"period\" }} takes it from the job; of the file's dates it would be {}",
                    told.join(" or ")
                )
            }
            "entity" | "period" => {
                writeln!(toml, "{target} = {{ message = \"{target}\" }}   # no heading of the file is known as one")
            }
            "status" => writeln!(
                toml,
                "status = \"?\"   # Assets, Liabilities, Equity, Income or Expense: by part and map of the account, see the guide"
            ),
            "bs_pl" => writeln!(
                toml,
                "bs_pl = \"?\"   # BS or PL, balance sheet or profit and loss: by part and map of the account, see the guide"
            ),
            _ => writeln!(toml, "{target} = \"?\"   # required: the name of its column"),
        }?;
    }
    let used = |place: &usize| found.iter().any(|(_, known)| known == place);
    let others: Vec<&str> = (0..header.len()).filter(|place| !used(place)).map(|place| header[place].trim()).collect();
    let others: Vec<&str> = others.into_iter().filter(|name| !name.is_empty()).collect();
    if !others.is_empty() {
        writeln!(
            toml,
            "# kept in extra as they are, unless a rule above names them: {}",
            others.join(", ").replace(char::is_control, " ")
        )?;
    }
    Ok(())
}

fn write_rows(toml: &mut String, account: Option<usize>, rows: &[Vec<String>]) -> fmt::Result {
    let Some(account) = account else { return Ok(()) };
    let keyless = rows.iter().filter(|row| row.get(account).is_none_or(|cell| cell.trim().is_empty())).count();
    let total =
        rows.iter().filter_map(|row| row.iter().map(|cell| cell.trim()).find(|cell| !cell.is_empty())).find(|cell| {
            ["total", "summe", "suma", "totale", "totaal", "合計", "合计"]
                .iter()
                .any(|word| cell.to_lowercase().starts_with(word))
        });
    if keyless == 0 && total.is_none() {
        return Ok(());
    }
    writeln!(toml, "\n[rows]")?;
    if keyless > 0 {
        writeln!(toml, "without_key = \"skip\"            # {keyless} rows have no account: totals or titles?")?;
    }
    if let Some(total) = total {
        writeln!(toml, "drop = [{{ column = \"*\", is = {} }}]   # a total?", quoted(total))?;
    }
    Ok(())
}

fn write_amounts(toml: &mut String, found: &[(Heading, usize)], rows: &[Vec<String>]) -> fmt::Result {
    let reader = AmountReader::new(&style());
    let mut evidence = Evidence::default();
    let columns: Vec<usize> =
        found.iter().filter(|(heading, _)| heading.is_amount()).map(|(_, place)| *place).collect();
    let mut marked = false;
    for (line, row) in rows.iter().enumerate() {
        for text in columns.iter().filter_map(|place| row.get(*place)) {
            reader.measure(text, line as u64, &mut evidence);
            marked |= text.trim_end().ends_with(['r', 'R', 'D', 'C']);
        }
    }
    writeln!(toml, "\n[amounts]")?;
    match (evidence.point, evidence.comma, evidence.either) {
        (Some(_), None, _) => writeln!(toml, "decimal = \".\"")?,
        (None, Some(_), _) => writeln!(toml, "decimal = \",\"")?,
        (None, None, None) => writeln!(toml, "# decimal = \".\"   # no amount of the sample tells it")?,
        (_, _, Some((_, point, comma))) => {
            writeln!(toml, "decimal = \"?\"   # an amount of the file is {point} with \".\" and {comma} with \",\"")?;
        }
        (Some(_), Some(_), None) => {
            writeln!(toml, "decimal = \"?\"   # some amounts have a decimal point and some a decimal comma")?;
        }
    }
    let cells = || rows.iter().flat_map(|row| columns.iter().filter_map(|place| row.get(*place)));
    let signs: Vec<String> =
        CURRENCY.iter().filter(|sign| cells().any(|cell| cell.contains(**sign))).map(|sign| quoted(sign)).collect();
    if !signs.is_empty() {
        writeln!(toml, "currency = [{}]", signs.join(", "))?;
    }
    if marked {
        writeln!(toml, "debit_marks = [\"Dr\", \"D\"]\ncredit_marks = [\"Cr\", \"C\"]")?;
    }
    Ok(())
}

/// The style in which amounts of a draft are read.
fn style() -> AmountStyle {
    AmountStyle {
        debit_marks: vec!["Dr".into(), "D".into()],
        credit_marks: vec!["Cr".into(), "C".into()],
        currency: CURRENCY.map(str::to_owned).to_vec(),
        ..AmountStyle::default()
    }
}

/// The decimal mark that the amounts of the sample tell, or a point.
fn decimal_of(reader: &AmountReader, found: &[(Heading, usize)], rows: &[Vec<String>]) -> DecimalMark {
    let mut evidence = Evidence::default();
    let named: Vec<usize> = found.iter().filter(|(heading, _)| heading.is_amount()).map(|(_, place)| *place).collect();
    for (line, row) in rows.iter().enumerate() {
        for (place, text) in row.iter().enumerate() {
            if named.is_empty() || named.contains(&place) {
                reader.measure(text, line as u64, &mut evidence);
            }
        }
    }
    if evidence.comma.is_some() && evidence.point.is_none() { DecimalMark::Comma } else { DecimalMark::Point }
}

/// The values of an indicator that mean debit, and those that mean credit; all of them if one is not known.
fn indicator_values(rows: &[Vec<String>], place: usize) -> Result<(String, String), String> {
    const CREDIT: [&str; 8] = ["h", "c", "cr", "credit", "haben", "k", "p", "貸"];
    const DEBIT: [&str; 8] = ["s", "d", "dr", "debit", "soll", "40", "debet", "借"];
    let mut values: Vec<&str> = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.trim()).collect();
    values.sort_unstable();
    values.dedup();
    values.retain(|value| !value.is_empty());
    values.truncate(10);
    let listed = |values: &[&str]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
    let all = listed(&values);
    let (credit, debit): (Vec<&str>, Vec<&str>) =
        values.into_iter().partition(|value| CREDIT.contains(&value.to_lowercase().as_str()));
    let is_known = !credit.is_empty() && !debit.is_empty();
    if is_known && debit.iter().all(|value| DEBIT.contains(&value.to_lowercase().as_str())) {
        Ok((listed(&debit), listed(&credit)))
    } else {
        Err(all)
    }
}

fn repeats(header: &[String]) -> bool {
    let mut keys: Vec<String> = header.iter().map(|cell| key_of(cell)).filter(|key| !key.is_empty()).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    keys.len() < all
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
