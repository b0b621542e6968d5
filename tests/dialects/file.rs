//! Files: a ledger in a dialect, as bytes, and what is to be read from them.

use std::{collections::BTreeMap, io::Write};

use tests::random::Random;

use crate::{
    dialect::{Balance, Dialect, Entities, Headings, Packing, TextEncoding},
    ledger::{Entry, LIMIT, Ledger},
    periods::PERIODS,
    reading::Row,
};

/// A column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Entity,
    Period,
    Code,
    Name,
    /// The balance, or its debit side.
    Amount,
    Credit,
    Indicator,
    Forward,
    Department,
    Extra(usize),
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) dialect: &'a Dialect,
    pub(crate) ledger: &'a Ledger,
    pub(crate) columns: Vec<Column>,
    /// Lines above the headings.
    pub(crate) titles: usize,
    pub(crate) text: String,
    /// The rows of each slice.
    pub(crate) rows: Vec<Vec<Row>>,
    /// Rows that the profile leaves out, and those without a key.
    pub(crate) left_out: u64,
    pub(crate) keyless: u64,
    random: Random,
    entity: Option<usize>,
}

impl<'a> Table<'a> {
    /// Writes a ledger in a dialect.
    pub(crate) fn new(ledger: &'a Ledger, dialect: &'a Dialect) -> Self {
        let mut random = Random::at(dialect.seed, 1);
        let mut columns = vec![Column::Entity, Column::Period, Column::Code, Column::Name, Column::Amount];
        match dialect.balance {
            Balance::Plain | Balance::Negated => {}
            Balance::Sides { .. } => columns.push(Column::Credit),
            Balance::Indicated { .. } => columns.push(Column::Indicator),
        }
        columns.push(Column::Department);
        columns.extend(dialect.forward.then_some(Column::Forward));
        columns.extend((0..dialect.extra).map(Column::Extra));
        random.shuffle(&mut columns);
        let rows = vec![Vec::new(); ledger.slices.len()];
        let mut table = Self {
            dialect,
            ledger,
            columns,
            titles: 0,
            text: String::new(),
            rows,
            left_out: 0,
            keyless: 0,
            random,
            entity: None,
        };
        table.write();
        table
    }

    /// What a column is called.
    pub(crate) fn heading(&self, column: Column) -> String {
        let names: [&str; 2] = match column {
            Column::Entity => ["Company", "Société"],
            Column::Period => ["Fiscal Period", "Buchungsperiode"],
            Column::Code => ["Konto-Nr.", "G/L Account"],
            Column::Name => ["Account Text", "Bezeichnung"],
            Column::Amount => ["Soll (EUR)", "Amount"],
            Column::Credit => ["Haben (EUR)", "Credit's"],
            Column::Indicator => ["S/H", "D or C"],
            Column::Forward => ["Opening", "Saldo, alt"],
            Column::Department => ["Cost Center", "Ärea \"x\""],
            Column::Extra(0) => ["Segment", "x"],
            Column::Extra(1) => ["Profit Center", "y y"],
            Column::Extra(_) => ["Währung", "z"],
        };
        let name = names[(self.dialect.seed % 2) as usize];
        self.dialect.holdable(name)
    }

    /// What a mapped entity is called in the file.
    pub(crate) fn label(entity: &str) -> String {
        format!("Firma {entity} (Co.)")
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let TextEncoding(encoding, mark) = self.dialect.encoding;
        let marked = if mark { format!("\u{feff}{}", self.text) } else { self.text.clone() };
        let bytes = if encoding == encoding_rs::UTF_16LE {
            marked.encode_utf16().flat_map(u16::to_le_bytes).collect()
        } else if encoding == encoding_rs::UTF_16BE {
            marked.encode_utf16().flat_map(u16::to_be_bytes).collect()
        } else {
            encoding.encode(&marked).0.into_owned()
        };
        let half = bytes.len() / 2;
        let gzip = |part: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(part).and_then(|()| packer.finish()).expect("packing in memory")
        };
        match self.dialect.packing {
            Packing::None => bytes,
            // Several members make one file.
            Packing::Gzip => [gzip(&bytes[..half]), gzip(&bytes[half..])].concat(),
            Packing::Zstd => [&bytes[..half], &bytes[half..]]
                .map(|part| zstd::encode_all(part, 1).expect("packing in memory"))
                .concat(),
        }
    }

    fn write(&mut self) {
        let (titles, quotes) = match self.dialect.headings {
            Headings::Below(count) => (count, true),
            Headings::Told(count) => (count, false),
            Headings::First | Headings::None { .. } => (0, false),
        };
        for _ in 0..titles {
            let title = self.title(quotes);
            self.line(&title);
        }
        self.titles = titles;
        if !matches!(self.dialect.headings, Headings::None { .. }) {
            self.headings();
        }
        for entry in &self.ledger.entries {
            self.entry(entry);
            self.noise();
        }
        if self.dialect.noise.footer {
            // What follows is counted as far as it can be told apart: a stray quote hides the rest.
            self.left_out += if self.dialect.quote == Some('"') { 1 } else { 3 };
            self.record(&["End of report".to_owned(), "x".to_owned()], false);
            self.line("after that \" anything");
            self.line("\"may stand");
        }
        if self.random.percent(30) {
            let end = self.text.len() - self.dialect.line_end.len();
            self.text.truncate(end);
        }
    }

    fn title(&mut self, quotes: bool) -> String {
        let delimiter = self.dialect.delimiter;
        match self.random.between(0, 4) {
            0 => String::new(),
            1 => format!("Trial balance{delimiter}2022{delimiter}"),
            2 if quotes => format!("\"not closed{delimiter}\"\"\""),
            3 => format!("a 5\" pipe{}", delimiter.to_string().repeat(20)),
            _ => "Konto-Nr. and others, as of today".to_owned(),
        }
    }

    fn headings(&mut self) {
        let names: Vec<_> = self.columns.iter().map(|column| self.heading(*column)).collect();
        self.record(&names, false);
        self.entity = None;
    }

    fn entry(&mut self, entry: &Entry) {
        let line = self.next_line();
        let (entity, year, month) = &self.ledger.slices[entry.slice];
        let (written, negative) = self.balance(entry.balance);
        let mut cells = Vec::new();
        for column in self.columns.clone() {
            cells.push(match column {
                Column::Entity => match self.dialect.entities {
                    Entities::Plain => entity.clone(),
                    Entities::Mapped => Self::label(entity),
                    Entities::FilledDown if self.entity == Some(entry.slice) => String::new(),
                    Entities::FilledDown => entity.clone(),
                },
                Column::Period => PERIODS[self.dialect.period].write(*year, *month),
                Column::Code => entry.code.clone(),
                Column::Name => entry.name.clone(),
                Column::Amount => written.0.clone(),
                Column::Credit => written.1.clone(),
                Column::Indicator => match (entry.balance, negative) {
                    (None, _) => String::new(),
                    (_, true) => self.random.one_of(&["H", "50", " H "]).to_owned(),
                    (_, false) => self.random.one_of(&["S", "40 "]).to_owned(),
                },
                Column::Forward => self.dialect.figures.write(entry.forward, &mut self.random),
                Column::Department => entry.department.clone(),
                Column::Extra(place) => entry.extra[place].clone(),
            });
        }
        self.entity = Some(entry.slice);
        self.record(&cells, self.dialect.short);
        let row = self.expected(entry, line);
        self.rows[entry.slice].push(row);
    }

    /// The cells of a balance, and whether an indicator shows it negative.
    fn balance(&mut self, balance: Option<i128>) -> ((String, String), bool) {
        let figures = &self.dialect.figures;
        let random = &mut self.random;
        let mut write = |units: Option<i128>| figures.write(units, random);
        match self.dialect.balance {
            Balance::Plain => ((write(balance), String::new()), false),
            Balance::Negated => ((write(balance.map(|units| -units)), String::new()), false),
            Balance::Sides { signed } => {
                let (debit, credit) = match balance {
                    None => (None, None),
                    Some(units) if units.abs() < LIMIT / 4 && units % 3 == 0 => {
                        (Some(units / 3 + LIMIT / 8), Some(LIMIT / 8 - units / 3 * 2))
                    }
                    Some(units) if units < 0 => (None, Some(-units)),
                    Some(units) => (Some(units), None),
                };
                let credit = credit.map(|units| if signed { -units } else { units });
                ((write(debit), write(credit)), false)
            }
            Balance::Indicated { negate } => {
                let Some(units) = balance else { return ((write(None), String::new()), false) };
                let amount = if units % 5 == 0 { units } else { units.abs() };
                ((write(Some(amount)), String::new()), (amount != units) != negate)
            }
        }
    }

    fn expected(&self, entry: &Entry, line: u64) -> Row {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.trim().is_empty());
        let extra =
            (0..self.dialect.extra).map(|place| (self.heading(Column::Extra(place)), entry.extra[place].clone()));
        Row {
            line,
            company: self.ledger.slices[entry.slice].0.clone(),
            code: entry.code.clone(),
            name: text(&entry.name),
            department: text(&entry.department),
            balance: entry.balance.unwrap_or(0),
            forward: entry.forward.filter(|_| self.dialect.forward),
            extra: extra.collect::<BTreeMap<_, _>>(),
        }
    }

    fn noise(&mut self) {
        let noise = self.dialect.noise;
        let width = self.columns.len();
        let place = self.columns.iter().position(|column| *column == Column::Code).unwrap_or_default();
        let with_code = |code: &str| {
            let mut cells = vec![String::new(); width];
            cells[place] = code.to_owned();
            cells
        };
        if noise.blank_lines && self.random.percent(20) {
            let blank = self.random.one_of(&["", "  ", "\t"]);
            self.line(if self.dialect.delimiter == '\t' { "" } else { blank });
        }
        if noise.blank_lines && self.random.percent(10) {
            self.record(&vec![" ".to_owned(); width], false);
        }
        if noise.totals && self.random.percent(20) {
            self.left_out += 1;
            let mut cells = with_code(" Total of 1,234.56");
            cells.truncate(place + 1 + self.random.between(0, 9) as usize);
            self.record(&cells, false);
        }
        if noise.keyless && self.random.percent(20) {
            self.keyless += 1;
            let mut cells = with_code(" ");
            let name = self.columns.iter().position(|column| *column == Column::Name).unwrap_or_default();
            cells[name] = "see above".to_owned();
            self.record(&cells, false);
        }
        if noise.headings_again && self.random.percent(10) {
            self.left_out += 1;
            self.headings();
        }
    }

    fn record(&mut self, cells: &[String], cut: bool) {
        let mut cells = cells;
        while let (true, [rest @ .., last]) = (cut && cells.len() > 1, cells) {
            if !last.is_empty() {
                break;
            }
            cells = rest;
        }
        let written: Vec<_> = cells.iter().map(|cell| self.cell(cell)).collect();
        let delimiter = self.dialect.delimiter.to_string();
        let (before, after) = (self.dialect.leading, self.dialect.trailing);
        let line = format!(
            "{}{}{}",
            if before { delimiter.as_str() } else { "" },
            written.join(&delimiter),
            if after { delimiter.as_str() } else { "" }
        );
        self.line(&line);
    }

    fn cell(&mut self, cell: &str) -> String {
        let Some(quote) = self.dialect.quote else { return cell.to_owned() };
        let needed = cell.contains([quote, self.dialect.delimiter, '\n', '\r']);
        if needed || self.random.percent(20) {
            let doubled = cell.replace(quote, &format!("{quote}{quote}"));
            format!("{quote}{doubled}{quote}")
        } else {
            cell.to_owned()
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push_str(self.dialect.line_end);
    }

    /// The line on which the next record starts.
    fn next_line(&self) -> u64 {
        let feeds = self.text.matches('\n').count();
        let returns = self.text.matches('\r').count() - self.text.matches("\r\n").count();
        1 + feeds as u64 + if self.dialect.feeds_only { 0 } else { returns as u64 }
    }
}
