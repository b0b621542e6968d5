//! The columns of a draft: those that are known by their headings, and what is asked about the others.

use std::fmt::{self, Write};

use shared::{
    file::mapping_profile::PeriodFormat,
    slice::{Entity, Period},
};

use super::{
    ReadingOf,
    amounts::{Amounts, Candidate, Reading},
    headings::Heading,
    quoted,
    table::Table,
};

/// The number and the name of an account that stand in one cell.
const NUMBER: &str = r"^(\d+(?:[-.]\d+)*)\s";
const NAME: &str = r"^\d+(?:[-.]\d+)*\s+(?:[-·:]\s*)?(.+)$";

/// A text that stands as a formula.
const FORMULA: &str = r#"^="(.*)"$"#;
/// How a year and a period of two columns are read.
const JOINED: [&str; 3] = ["YYYY-MM", "YYYY-M", "YYYY-PPP"];
/// Dates that are named.
const DATES: usize = 12;
/// Texts of a column that are shown.
const SHOWN: usize = 3;

/// Writes `[columns]`.
pub(super) fn write(toml: &mut String, table: &Table, amounts: &Amounts, has_doubts: bool) -> fmt::Result {
    writeln!(toml, "\n[columns]")?;
    if !table.is_headed {
        writeln!(toml, "# The file has no headings; its columns, by their places:")?;
        for place in 0..table.width() {
            let examples = table.examples(place, SHOWN).join(", ").replace(char::is_control, " ");
            writeln!(toml, "#   {}: {examples}", place + 1)?;
        }
    }
    // Of two columns that differ in their side, one is the account, whatever else is known by name.
    let contra = amounts.contra.as_ref();
    let account = contra.map(|contra| contra.account).or(table.at(Heading::Target("account_code")));
    let names = contra.and_then(|contra| contra.names).map(|(name, _)| name);
    let account_name = names.or(table.at(Heading::Target("account_name"))).or(contra.map(|contra| contra.account));
    // A number and a name in one cell are told apart, if every row has both.
    let both = account.or(account_name).filter(|_| contra.is_none() && (account.is_none() || account_name.is_none()));
    if let Some(both) = both.filter(|place| is_number_and_name(table, *place)) {
        let name = table.name(both);
        writeln!(
            toml,
            "account_code = {{ column = {name}, part = '{NUMBER}' }}   # number and name stand in one cell"
        )?;
        writeln!(toml, "account_name = {{ column = {name}, part = '{NAME}' }}")?;
    } else {
        for (target, place, other) in [("account_code", account, account_name), ("account_name", account_name, account)]
        {
            match place {
                Some(place) if are_formulas(table, place) => {
                    let name = table.name(place);
                    writeln!(
                        toml,
                        "{target} = {{ column = {name}, part = '{FORMULA}' }}   # its texts stand as formulas"
                    )?;
                }
                Some(place) => writeln!(toml, "{target} = {}", table.name(place))?,
                None => unnamed(toml, table, target, other)?,
            }
        }
    }
    for (heading, place) in &table.found {
        let Heading::Target(target) = heading else { continue };
        match *target {
            "account_code" | "account_name" | "balance" => {}
            "entity" => entity(toml, table, *place)?,
            "period" => period(toml, table, *place)?,
            "bs_pl" => class(toml, table, target, *place, &["BS", "PL"])?,
            "status" => {
                class(toml, table, target, *place, &["Assets", "Liabilities", "Equity", "Income", "Expense"])?;
            }
            target => writeln!(toml, "{target} = {}", table.name(*place))?,
        }
    }
    balance(toml, table, amounts, has_doubts)?;
    let is_missing = |target: &'static str| table.at(Heading::Target(target)).is_none();
    if is_missing("entity") {
        writeln!(toml, "entity = {{ message = \"entity\" }}   # no column of the file is known as one")?;
    }
    if is_missing("period") {
        missing_period(toml, table, amounts)?;
    }
    let classes = [
        ("bs_pl", "BS or PL, balance sheet or profit and loss"),
        ("status", "Assets, Liabilities, Equity, Income or Expense"),
    ];
    for (target, what) in classes.into_iter().filter(|(target, _)| is_missing(target)) {
        writeln!(toml, "{target} = \"?\"   # {what}: by part and map of the account, see the guide")?;
    }
    // What a condition looks at alone is kept, too, so that only what follows the rows and amounts counts.
    let rules = toml.split_once("\n[amounts]").map_or("", |(_, rules)| rules);
    let rules: Vec<&str> = rules.lines().filter_map(|line| line.split('#').next()).collect();
    let used = |place: &usize| rules.iter().any(|rule| rule.contains(&quoted(&table.header[*place])));
    let others: Vec<String> = (0..table.width())
        .filter(|place| !table.header[*place].is_empty() && !used(place))
        .map(|place| table.header[place].clone())
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let others = others.join(", ").replace(char::is_control, " ");
    writeln!(toml, "# kept in extra as they are, unless a rule above names them: {others}")
}

/// Whether all texts of a column stand as formulas, so that spreadsheets keep their zeros: `="0010"`.
fn are_formulas(table: &Table, place: usize) -> bool {
    let mut cells = table.cells(place).peekable();
    cells.peek().is_some() && cells.all(|cell| cell.len() > 2 && cell.starts_with("=\"") && cell.ends_with('"'))
}

fn is_number_and_name(table: &Table, place: usize) -> bool {
    let is_both = |cell: &str| {
        let digits = cell.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
        digits.len() < cell.len() && cell.starts_with(|c: char| c.is_ascii_digit()) && digits.starts_with(' ')
    };
    let mut cells = table.cells(place).peekable();
    cells.peek().is_some() && cells.all(is_both)
}

/// The account's code or name, for which no heading is known.
fn unnamed(toml: &mut String, table: &Table, target: &str, other: Option<usize>) -> fmt::Result {
    let what = if table.is_headed { "name" } else { "place" };
    write!(toml, "{target} = \"?\"   # required: the {what} of its column")?;
    if let Some(other) = other {
        return writeln!(toml, "; {} may stand for both", table.name(other));
    }
    let blank = (0..table.width()).find(|place| table.is_headed && table.headings[*place].is_empty());
    match blank.filter(|place| table.cells(*place).next().is_some()) {
        Some(place) => {
            let examples = table.examples(place, SHOWN).join(", ").replace(char::is_control, " ");
            writeln!(toml, "; column {} has no heading and holds {examples}", place + 1)
        }
        None => writeln!(toml),
    }
}

fn balance(toml: &mut String, table: &Table, amounts: &Amounts, has_doubts: bool) -> fmt::Result {
    match amounts.only().map(|only| only.reading) {
        Some(Reading::Column(place)) => writeln!(toml, "balance = {}", table.name(place)),
        Some(Reading::Sides { .. } | Reading::Indicated { .. }) => Ok(()),
        None => {
            amounts.write_candidates(toml, table, has_doubts)?;
            writeln!(
                toml,
                "balance = \"?\"   # the column of the amount; or [balance] with debit and credit, or an indicator"
            )
        }
    }
}

impl Amounts {
    /// The readings that a file allows, and what each comes to.
    pub(super) fn readings(&self, table: &Table) -> Vec<ReadingOf> {
        let told = |candidate: &Candidate| match candidate.reading {
            Reading::Column(place) => table.name(place),
            Reading::Indicated { column, indicator } => {
                let indicator = self.indicators.get(indicator).map(|indicator| indicator.lines(table).join(", "));
                format!("[balance] column = {}, {}", table.name(column), indicator.unwrap_or_default())
            }
            Reading::Sides { debit, credit } => {
                format!("[balance] debit = {}, credit = {}", table.name(debit), table.name(credit))
            }
        };
        let reading = |candidate: &Candidate| ReadingOf {
            balance: told(candidate),
            amounts: candidate.count(),
            sum: candidate.sum(),
            debit: candidate.debit(),
        };
        self.candidates.iter().map(reading).collect()
    }

    /// Writes the readings that a file allows, as comments.
    pub(super) fn write_candidates(&self, toml: &mut String, table: &Table, has_doubts: bool) -> fmt::Result {
        if self.candidates.is_empty() {
            return writeln!(toml, "# No column looks like amounts.");
        }
        if table.earlier().iter().flatten().next().is_some() || has_doubts {
            writeln!(toml, "# The sums are those of all rows, before keep or repeated_keys leave any out.")?;
        }
        if let Some(heading) = &self.other_than_closing {
            writeln!(toml, "# {} does not say that it is the closing balance.", quoted(heading))?;
        }
        if self.is_unsigned {
            writeln!(
                toml,
                "# Next to no amount is below zero. If liabilities, equity and income stand there without their sign, see\n\
                 # \"Balances in natural sign\" in the guide: an indicator by the account or its class turns them."
            )?;
        }
        writeln!(
            toml,
            "# These columns hold amounts: which is the balance to load (closing), and which are movements?"
        )?;
        for reading in self.readings(table) {
            let ReadingOf { balance, amounts, sum, debit } = reading;
            writeln!(toml, "#   {balance}: {amounts} amounts that sum to {sum}, debit {debit}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(toml, "#   and {more} more"),
        }
    }
}

/// An entity's column, if its texts are codes.
fn entity(toml: &mut String, table: &Table, place: usize) -> fmt::Result {
    let name = table.name(place);
    match table.cells(place).find(|cell| cell.parse::<Entity>().is_err()) {
        None => writeln!(toml, "entity = {name}"),
        Some(text) => writeln!(
            toml,
            "entity = \"?\"   # {{ message = \"entity\" }} takes it from the job; {name} holds {}, which is no code: \
             {{ column = {name}, map = {{ {} = \"E100\" }} }}",
            quoted(text),
            quoted(text)
        ),
    }
}

/// A period's column, in the form in which its cells are written.
fn period(toml: &mut String, table: &Table, place: usize) -> fmt::Result {
    let name = table.name(place);
    if table.cells(place).all(|cell| cell.parse::<Period>().is_ok()) {
        return writeln!(toml, "period = {name}");
    }
    let years = table.at(Heading::Year).filter(|years| {
        let joined = |row: &Vec<String>| Some(format!("{}-{}", row.get(*years)?.trim(), row.get(place)?.trim()));
        let formats: Vec<_> = JOINED.iter().filter_map(|format| PeriodFormat::new(format, &[], 0).ok()).collect();
        let is_read = |text: String| formats.iter().any(|format| format.read(&text).is_some());
        table.rows.iter().all(|row| joined(row).is_some_and(is_read))
    });
    if let Some(years) = years {
        let (columns, formats) = (format!("{}, {name}", table.name(years)), JOINED.map(quoted).join(", "));
        return writeln!(toml, "period = {{ columns = [{columns}], join = \"-\", format = [{formats}] }}");
    }
    match table.formats(place).as_slice() {
        [format] => writeln!(toml, "period = {{ column = {name}, format = \"{format}\" }}"),
        [] => {
            let examples = table.examples(place, SHOWN).join(", ").replace(char::is_control, " ");
            writeln!(
                toml,
                "period = \"?\"   # {{ message = \"period\" }} takes it from the job; {name} holds {examples}, for which \
                 the guide has formats"
            )
        }
        formats => {
            let dates: Vec<_> = formats.iter().map(|format| dated(table, place, format)).collect();
            ask_period(toml, &dates)
        }
    }
}

fn dated(table: &Table, place: usize, format: &str) -> String {
    format!("{{ column = {}, format = \"{format}\" }}", table.name(place))
}

/// A class's column, if its texts are classes.
fn class(toml: &mut String, table: &Table, target: &str, place: usize, known: &[&str]) -> fmt::Result {
    let name = table.name(place);
    if table.cells(place).all(|cell| known.contains(&cell)) && table.cells(place).next().is_some() {
        return writeln!(toml, "{target} = {name}");
    }
    let examples = table.examples(place, SHOWN).join(", ").replace(char::is_control, " ");
    let examples = if examples.is_empty() { "nothing".to_owned() } else { examples };
    writeln!(
        toml,
        "{target} = \"?\"   # {}; {name} holds {examples}: by a map of it, or of the account",
        known.join(", ")
    )
}

/// The period, for which no heading is known: a date of the file, or the job's.
fn missing_period(toml: &mut String, table: &Table, amounts: &Amounts) -> fmt::Result {
    let amount = amounts.only().map(|only| only.reading);
    let columns = (0..table.width()).filter(|place| amount != Some(Reading::Column(*place)));
    let told: Vec<_> = columns
        .flat_map(|place| table.formats(place).into_iter().map(move |format| dated(table, place, format)))
        .take(DATES)
        .collect();
    if told.is_empty() {
        writeln!(toml, "period = {{ message = \"period\" }}   # no column of the file is known as one")
    } else {
        ask_period(toml, &told)
    }
}

fn ask_period(toml: &mut String, dates: &[String]) -> fmt::Result {
    writeln!(
        toml,
        "period = \"?\"   # {{ message = \"period\" }} takes it from the job; of the file's dates it would be {}",
        dates.join(" or ")
    )
}
