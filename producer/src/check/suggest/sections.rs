//! The sections of a draft: how the file is written, which rows count, and where its amounts are.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

use shared::amount::Amount;

use super::{
    amounts::{Amounts, Candidate, Reading, shown},
    cells::Cells,
    columns,
    headings::Heading,
    quoted,
    table::{CURRENCY, EMPTY, Table},
};

/// The sections of a draft.
pub(super) struct Sections<'a> {
    pub(super) cells: &'a Cells,
    pub(super) table: &'a Table,
    pub(super) amounts: &'a Amounts,
}

impl Sections<'_> {
    /// Writes the draft.
    pub(super) fn write(&self, toml: &mut String) -> fmt::Result {
        self.top(toml)?;
        self.text(toml)?;
        self.rows(toml)?;
        self.amounts(toml)?;
        self.balance(toml)?;
        self.contra(toml)?;
        columns::write(toml, self.table, self.amounts, self.doubts().is_some())
    }

    fn top(&self, toml: &mut String) -> fmt::Result {
        let table = self.table;
        writeln!(toml, "# A draft. Go through every line, then try it: aura-producer check FILE --source NAME")?;
        writeln!(toml, "# What is \"?\" only you can decide; with one of them left, the profile does not load.")?;
        if self.cells.is_partial {
            writeln!(toml, "# It rests on the first {} records; so do the sums below.", self.cells.records.len())?;
        }
        writeln!(toml, "description = \"\"\nmode = \"upsert\"                 # \"replace\" for full exports")?;
        let has_account = table.at(Heading::Target("account_code")).is_some();
        let earlier = if has_account { table.earlier() } else { Vec::new() };
        let repeated = earlier.iter().flatten().count();
        let rows = table.rows.len();
        // The second rows of lines leave no last one.
        let has_contra = self.amounts.contra.is_some();
        if repeated > 0 && !has_contra {
            let (mut sum, mut last) = (String::new(), String::new());
            if let Some(only) = self.amounts.only() {
                let gone: BTreeSet<usize> = earlier.iter().flatten().copied().collect();
                let kept = only.amounts.iter().enumerate().filter(|(number, _)| !gone.contains(number));
                sum = format!(", which sum to {}", only.sum());
                last = format!(", and they sum to {}", shown(kept.filter_map(|(_, amount)| *amount)));
            }
            writeln!(
                toml,
                "repeated_keys = \"?\"   # {repeated} of {rows} rows have the account of an earlier one: \"sum\" adds them \
                 up to {} accounts{sum}, \"last\" takes the last one of each{last}, \"refuse\" fails the job",
                rows - repeated
            )
        } else if has_contra {
            writeln!(
                toml,
                "repeated_keys = \"?\"   # lines with two accounts are a journal: \"sum\" adds up the rows of an account, \
                 \"refuse\" fails the job if one stands twice"
            )
        } else {
            Ok(())
        }
    }

    fn text(&self, toml: &mut String) -> fmt::Result {
        let Self { cells, table, .. } = self;
        writeln!(toml, "\n[text]")?;
        if let Some(encoding) = cells.encoding {
            let name = quoted(&encoding.to_ascii_lowercase());
            writeln!(toml, "encoding = {name}   # guessed from its letters: look at names with accents")?;
        }
        if let Some(delimiter) = cells.delimiter {
            let delimiter = if delimiter == b'\t' { "tab".to_owned() } else { char::from(delimiter).to_string() };
            writeln!(toml, "delimiter = {}", quoted(&delimiter))?;
        }
        if cells.quotes_are_text {
            writeln!(toml, "quote = \"none\"                  # quotes stand within cells that they do not surround")?;
        }
        for name in &cells.unread_sheets {
            writeln!(toml, "# The sheet {} was not looked at.", quoted(name))?;
        }
        match cells.sheets.as_slice() {
            [] => {}
            [sheet] => writeln!(toml, "sheet = {}", quoted(&sheet.name))?,
            sheets => {
                writeln!(toml, "# These sheets hold tables; the draft below is that of the first of them:")?;
                for sheet in sheets {
                    let headings = sheet.headings.join(", ").replace(char::is_control, " ");
                    writeln!(toml, "#   {}: {} rows below {headings}", quoted(&sheet.name), sheet.rows)?;
                }
                writeln!(toml, "sheet = \"?\"   # the name of the sheet to load")?;
            }
        }
        for (key, is_so) in [("leading_delimiter", cells.leads), ("trailing_delimiter", cells.trails)] {
            if is_so {
                writeln!(toml, "{key} = true")?;
            }
        }
        if !table.is_headed {
            writeln!(toml, "header = false   # the first record looks like a row: columns are told by their places")?;
            if table.titles > 0 {
                let lines = cells.lines.get(table.titles).copied().unwrap_or(1) - 1;
                writeln!(toml, "skip_lines = {lines}   # above the first row")?;
            }
        } else if table.titles > 0 || table.header_rows > 1 {
            let cell = |place: usize| table.first_header.get(place).filter(|cell| !cell.is_empty());
            let known = table.found.iter().map(|(_, place)| *place).chain(0..table.width());
            let mut seen = BTreeSet::new();
            let marks = known.filter_map(cell).filter(|cell| seen.insert((*cell).clone())).take(3);
            let marks: Vec<String> = marks.map(|cell| quoted(cell)).collect();
            let titles = table.titles;
            writeln!(toml, "header_contains = [{}]   # {titles} records above it are passed over", marks.join(", "))?;
        }
        if table.header_rows > 1 {
            writeln!(toml, "header_rows = {}   # headings in two rows, which are joined", table.header_rows)?;
        }
        if table.has_repeated_headings() {
            writeln!(toml, "repeated_headers = \"number\"   # a name stands twice: the second is called \"Name (2)\"")?;
        }
        if table.shorter > 0 && cells.sheets.is_empty() {
            let shorter = table.shorter;
            match self.cut_off() {
                None => {
                    writeln!(toml, "short_records = \"pad\"   # {shorter} records have fewer cells than the headings")?
                }
                Some(record) => writeln!(
                    toml,
                    "short_records = \"?\"   # {shorter} records have fewer cells than the headings, and {record:?} ends before \
                     its amount: \"pad\" takes that for 0, \"refuse\" fails the file"
                )?,
            }
        }
        if table.longer_blank > 0 {
            let records = table.longer_blank;
            writeln!(toml, "long_records = \"blank\"   # {records} records have more cells, which are blank")?;
        }
        Ok(())
    }

    fn rows(&self, toml: &mut String) -> fmt::Result {
        let Table { keyless, totals, is_ruled, has_headings_again, .. } = self.table;
        let mut drop = Vec::new();
        if *is_ruled {
            drop.push("    { column = 1, matches = '^[-=_+]+$' },   # drawn lines".to_owned());
        }
        let first_header = &self.table.first_header;
        let named = first_header.iter().position(|cell| !cell.is_empty());
        if let (true, Some(place)) = (*has_headings_again, named) {
            let (column, heading) = (self.table.name(place), quoted(&first_header[place]));
            drop.push(format!("    {{ column = {column}, is = {heading} }},   # the headings of the next page"));
        }
        match totals.as_slice() {
            [] => {}
            [total] => drop.push(format!("    {{ column = \"*\", is = {} }},   # a total?", quoted(total))),
            totals => {
                let texts = totals.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
                drop.push(format!("    {{ column = \"*\", is = [{texts}] }},   # totals?"));
            }
        }
        let (doubts, same) = (self.doubts(), self.same());
        if keyless.is_empty() && drop.is_empty() && doubts.is_none() && same.is_none() {
            return Ok(());
        }
        writeln!(toml, "\n[rows]")?;
        if !keyless.is_empty() {
            self.keyless(toml)?;
        }
        for lines in doubts.iter().chain(&same) {
            writeln!(toml, "{lines}")?;
        }
        match drop.as_slice() {
            [] => Ok(()),
            drop => writeln!(toml, "drop = [\n{}\n]", drop.join("\n")),
        }
    }

    /// A record that ends before its amount, if one does.
    fn cut_off(&self) -> Option<String> {
        let table = self.table;
        let first = self.amount_places().into_iter().min()?;
        let is_cut =
            |row: &&Vec<String>| row.len() <= first && row.iter().filter(|cell| !cell.trim().is_empty()).count() > 1;
        table.rows.iter().find(is_cut).map(|row| row.join(" ").replace(char::is_control, " "))
    }

    /// What becomes of rows without an account: a person decides, if they hold amounts.
    fn keyless(&self, toml: &mut String) -> fmt::Result {
        let rows = &self.table.keyless;
        let told = self.amounts.candidates.iter().map(|candidate| {
            let amounts: Vec<Amount> =
                self.amounts.of(self.table, rows, candidate.reading).into_iter().flatten().collect();
            let debit = amounts.iter().copied().filter(|amount| *amount > Amount::ZERO);
            let is_nil = amounts.iter().all(|amount| *amount == Amount::ZERO);
            (is_nil, format!("they sum to {}, debit {}", shown(amounts.iter().copied()), shown(debit)))
        });
        let told: Vec<(bool, String)> = told.collect();
        let (number, first) = (rows.len(), rows.first().map(|row| row.join(" ").trim().to_owned()).unwrap_or_default());
        let first = first.chars().take(60).collect::<String>().replace(char::is_control, " ");
        match told.iter().find(|(is_nil, _)| !is_nil) {
            None => writeln!(
                toml,
                "without_key = \"skip\"            # {number} rows have no account and no amount, as {first:?}"
            ),
            Some((_, sum)) => writeln!(
                toml,
                "without_key = \"?\"   # {number} rows have no account, as {first:?}; {sum}: \"skip\" leaves them out, \
                 \"refuse\" fails the file"
            ),
        }
    }

    fn amounts(&self, toml: &mut String) -> fmt::Result {
        let table = self.table;
        let evidence = table.evidence();
        writeln!(toml, "\n[amounts]")?;
        match (evidence.point, evidence.comma, evidence.either) {
            (Some(_), None, _) => writeln!(toml, "decimal = \".\"")?,
            (None, Some(_), _) => writeln!(toml, "decimal = \",\"")?,
            (None, None, None) => writeln!(toml, "# decimal = \".\"   # no amount of the sample tells it")?,
            (_, _, Some((_, point, comma))) => {
                writeln!(
                    toml,
                    "decimal = \"?\"   # an amount of the file is {point} with \".\" and {comma} with \",\""
                )?;
            }
            (Some(_), Some(_), None) => {
                writeln!(toml, "decimal = \"?\"   # some amounts have a decimal point and some a decimal comma")?;
            }
        }
        let places = self.amount_places();
        let cells = || places.iter().flat_map(|place| table.cells(*place));
        let list = |key: &str, texts: Vec<&str>| match texts.as_slice() {
            [] => String::new(),
            texts => format!("{key} = [{}]\n", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")),
        };
        let signs = CURRENCY.into_iter().filter(|sign| cells().any(|cell| cell.contains(*sign)));
        write!(toml, "{}", list("currency", signs.collect()))?;
        write!(
            toml,
            "{}",
            list("empty", EMPTY.into_iter().filter(|text| cells().any(|cell| cell == *text)).collect())
        )?;
        for (key, debit) in [("debit_marks", true), ("credit_marks", false)] {
            let marks = table.marks.iter().filter(|(_, is)| *is == debit).map(|(mark, _)| mark.as_str());
            write!(toml, "{}", list(key, marks.collect()))?;
        }
        Ok(())
    }

    /// The columns that may be amounts.
    pub(super) fn amount_places(&self) -> Vec<usize> {
        let of = |candidate: &Candidate| match candidate.reading {
            Reading::Column(place) => vec![place],
            Reading::Indicated { column, indicator } => {
                let indicator = self.amounts.indicators.get(indicator).map(|indicator| indicator.place);
                std::iter::once(column).chain(indicator).collect()
            }
            Reading::Sides { debit, credit } => vec![debit, credit],
        };
        let named = self.table.found.iter().filter(|(heading, _)| heading.is_amount()).map(|(_, place)| *place);
        let own = self.amounts.contra.iter().filter_map(|contra| contra.amount);
        self.amounts.candidates.iter().flat_map(of).chain(named).chain(own).collect()
    }

    fn balance(&self, toml: &mut String) -> fmt::Result {
        let (table, amounts) = (self.table, self.amounts);
        let only = amounts.only().map(|only| only.reading);
        if let Some(Reading::Indicated { column, indicator }) = only
            && let Some(indicator) = amounts.indicators.get(indicator)
        {
            writeln!(toml, "\n[balance]\ncolumn = {}", table.name(column))?;
            return writeln!(toml, "{}", indicator.lines(table).join("\n"));
        }
        let Some(Reading::Sides { debit, credit }) = only else { return Ok(()) };
        writeln!(toml, "\n[balance]\ndebit = {}\ncredit = {}", table.name(debit), table.name(credit))?;
        let [debits, credits] = [debit, credit].map(|place| table.figures(place).amounts);
        let below =
            |amounts: &[Option<Amount>]| amounts.iter().flatten().filter(|amount| **amount < Amount::ZERO).count();
        let above =
            |amounts: &[Option<Amount>]| amounts.iter().flatten().filter(|amount| **amount > Amount::ZERO).count();
        if below(&debits) == 0 && below(&credits) == 0 {
            return Ok(());
        }
        let of = if self.doubts().is_some() { "; all rows, before keep leaves any out" } else { "" };
        let added = shown(debits.iter().chain(&credits).flatten().copied());
        writeln!(
            toml,
            "signed = \"?\"   # {} credits are negative, {} positive, {} debits negative: true if credits carry their \
             minus already (the rows sum to {added}), false if they are subtracted ({}){of}",
            below(&credits),
            above(&credits),
            below(&debits),
            amounts.only().map_or_else(String::new, Candidate::sum)
        )
    }

    fn contra(&self, toml: &mut String) -> fmt::Result {
        let Some(contra) = &self.amounts.contra else { return Ok(()) };
        let table = self.table;
        let [own, second] = [contra.account, contra.contra].map(|place| table.name(place));
        write!(
            toml,
            "\n[contra]\naccount_code = \"?\"   # {second} books the other side of each line to that account, too"
        )?;
        match self.amounts.only() {
            Some(amounts) => {
                let [(alone, alone_sum), (both, both_sum)] = contra.figures(table, amounts);
                writeln!(
                    toml,
                    ": {both} rows that sum to {both_sum}; without this section {own} alone is booked: {alone} rows that \
                     sum to {alone_sum}"
                )?;
            }
            None => writeln!(toml, "; without this section {own} alone is booked")?,
        }
        if let Some((_, name)) = contra.names {
            writeln!(toml, "account_name = {}", table.name(name))?;
        } else if table.at(Heading::Target("account_name")).is_none() {
            writeln!(toml, "account_name = {second}")?;
        }
        match contra.amount {
            Some(amount) => writeln!(toml, "balance = {}", table.name(amount)),
            None => Ok(()),
        }
    }
}
