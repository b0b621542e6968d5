//! What a draft rests on: the headings of a file, the rows below them, and how their amounts are read.

use std::collections::{HashMap, HashSet};

use shared::{
    amount::Amount,
    file::{
        amount_text::{AmountReader, Evidence},
        columns::key_of,
        dialect,
        mapping_profile::{AmountStyle, DecimalMark, PeriodFormat},
        trial_balance::names_total,
    },
};

use super::{
    super::other_amounts,
    cells::{Cells, usual_width},
    headings::{self, Heading},
    indicators, quoted, records, tiers,
};

/// Signs of currencies that are recognised beside a figure.
pub(in crate::check) const CURRENCY: [&str; 5] = ["$", "€", "£", "¥", "₹"];
/// Texts that stand for no amount.
pub(super) const EMPTY: [&str; 8] = ["-", "–", "—", "n/a", "N/A", "NA", "nil", "Nil"];
/// Texts of totals that are told.
const TOTALS: usize = 20;

/// Formats of dates and periods that are tried.
const FORMATS: [&str; 12] = [
    "YYYY-MM-DD*",
    "YYYY-MM",
    "YYYYMMDD",
    "YYYYMM",
    "YYYY/M/D",
    "YYYY/M",
    "DD.MM.YYYY",
    "MM.YYYY",
    "D/M/YYYY",
    "M/D/YYYY",
    "MMM-YY",
    "M/YYYY",
];

/// The first records of a file, told apart.
pub(super) struct Table {
    /// What the columns are called, without spaces around it; blank where they have no heading.
    pub(super) headings: Vec<String>,
    /// The same as a profile names them: those of two rows are joined.
    pub(super) header: Vec<String>,
    /// The cells of the first row of headings, and how many rows there are.
    pub(super) first_header: Vec<String>,
    pub(super) header_rows: usize,
    pub(super) is_headed: bool,
    /// Records above the headings, or above the rows of a file without headings.
    pub(super) titles: usize,
    /// What the headings are taken for.
    pub(super) found: Vec<(Heading, usize)>,
    /// The rows that have an account and are no total.
    pub(super) rows: Vec<Vec<String>>,
    /// Rows without an account.
    pub(super) keyless: Vec<Vec<String>>,
    /// The first cells of totals, which are the sum of rows above them, or of nothing.
    pub(super) totals: Vec<String>,
    /// Whether lines are drawn between the rows, and whether the headings stand again below.
    pub(super) is_ruled: bool,
    pub(super) has_headings_again: bool,
    /// Rows with fewer and with more cells than the headings, where those past them are blank.
    pub(super) shorter: usize,
    pub(super) longer_blank: usize,
    /// Letters beside figures, and whether they mean debit.
    pub(super) marks: Vec<(String, bool)>,
    reader: AmountReader,
    pub(super) decimal: DecimalMark,
}

/// What the cells of a column are, read as amounts.
pub(super) struct Figures {
    /// By row; none where the cell is blank or no amount.
    pub(super) amounts: Vec<Option<Amount>>,
    /// Cells that are no amounts.
    texts: usize,
    /// Whether a sign or a decimal mark stands in one of them.
    has_mark: bool,
}

impl Figures {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.amounts.iter().flatten().count()
    }

    /// Whether nearly all cells that are not blank are amounts.
    pub(super) fn are_amounts(&self) -> bool {
        self.texts * 10 <= self.count()
    }
}

impl Table {
    pub(super) fn new(cells: &Cells) -> Self {
        let records = &cells.records;
        let place = records::header_place(records);
        let upper = (place.checked_sub(1).into_iter().chain([place])).find(
            |upper| matches!(records.get(*upper..), Some([upper, lower, ..]) if tiers::are_headings(upper, lower)),
        );
        let titles = upper.unwrap_or(place);
        let marks = indicators::marks(records.iter().flatten().map(String::as_str));
        let reader = AmountReader::new(&style(&marks));
        let below = records.get(titles..).unwrap_or_default();
        let is_headed = upper.is_some() || !records::is_row_of_figures(&reader, below);
        let header_rows = if is_headed { 1 + usize::from(upper.is_some()) } else { 0 };
        let trimmed = |row: usize| -> Vec<String> {
            let cells = below.get(row).filter(|_| row < header_rows);
            cells.into_iter().flatten().map(|cell| cell.trim().to_owned()).collect()
        };
        let (first_header, lower) = (trimmed(0), trimmed(1));
        let (header, headings) = match header_rows {
            2 => (dialect::joined(&first_header, &lower).unwrap_or_default(), tiers::joined(&first_header, &lower)),
            _ => (first_header.clone(), first_header.clone()),
        };
        let width = if is_headed { header.len() } else { usual_width(below) };
        let wide = |mut cells: Vec<String>| {
            cells.resize(width, String::new());
            cells
        };
        let (header, headings) = (wide(header), wide(headings));
        let mut rows: Vec<Vec<String>> = below.iter().skip(header_rows).cloned().collect();
        rows.retain(|row| row.iter().any(|cell| !cell.trim().is_empty()));
        let all = rows.len();
        rows.retain(|row| !records::is_rule(row));
        let is_ruled = rows.len() < all;
        let all = rows.len();
        rows.retain(|row| {
            !is_headed || !row.iter().map(|cell| cell.trim()).eq(first_header.iter().map(String::as_str))
        });
        let has_headings_again = rows.len() < all;
        let found = headings::find(&headings, &rows);
        let shorter = rows.iter().filter(|row| row.len() < width).count();
        let past = |row: &Vec<String>| row.iter().skip(width).all(|cell| cell.trim().is_empty());
        let longer_blank = rows.iter().filter(|row| row.len() > width && past(row)).count();
        let mut totals: Vec<String> = Vec::new();
        // A rule names the text alone, so that each row that has it must be such a total.
        let is_sum = |place: usize, text: &str| {
            let row = &rows[place];
            records::first_cell(row) == Some(text)
                && records::is_total_of(&reader, row, rows.get(..place).unwrap_or_default())
        };
        for cell in rows.iter().filter_map(|row| records::first_cell(row)).filter(|cell| names_total(cell)) {
            let has_text = |row: &Vec<String>| row.iter().any(|other| other.trim() == cell);
            let mut places = (0..rows.len()).filter(|place| has_text(&rows[*place]));
            if totals.len() < TOTALS
                && !totals.iter().any(|known| known == cell)
                && places.all(|place| is_sum(place, cell))
            {
                totals.push(cell.to_owned());
            }
        }
        let account = at(&found, Heading::Target("account_code"));
        let contra = at(&found, Heading::Contra);
        let is_blank = |row: &Vec<String>, place: usize| row.get(place).is_none_or(|cell| cell.trim().is_empty());
        let is_keyless = |row: &Vec<String>| account.is_some_and(|place| is_blank(row, place));
        let is_total = |row: &Vec<String>| row.iter().any(|cell| totals.iter().any(|total| total == cell.trim()));
        let keyless = rows.iter().filter(|row| is_keyless(row) && !is_total(row)).cloned().collect();
        // A line may have a contra account alone.
        rows.retain(|row| !is_keyless(row) || contra.is_some_and(|place| !is_blank(row, place)));
        rows.retain(|row| !is_total(row));
        let mut table = Self {
            headings,
            header,
            first_header,
            header_rows,
            is_headed,
            titles,
            found,
            rows,
            keyless,
            totals,
            is_ruled,
            has_headings_again,
            shorter,
            longer_blank,
            marks,
            reader,
            decimal: DecimalMark::Point,
        };
        let evidence = table.evidence();
        if evidence.comma.is_some() && evidence.point.is_none() {
            table.decimal = DecimalMark::Comma;
        }
        // In some languages the movement of a period is headed by that word alone.
        if let Some(period) = table.at(Heading::Target("period")) {
            let figures = table.figures(period);
            if figures.count() > 0 && figures.are_amounts() && figures.has_mark && table.formats(period).is_empty() {
                table.found.retain(|(_, place)| *place != period);
            }
        }
        table
    }

    /// The column that is taken for something.
    pub(super) fn at(&self, heading: Heading) -> Option<usize> {
        at(&self.found, heading)
    }

    /// A column as a profile names it: by its heading, or by its place where that has none or stands twice.
    pub(super) fn name(&self, place: usize) -> String {
        let heading = self.header.get(place).map_or("", String::as_str);
        let is_alone = self.header.iter().filter(|other| key_of(other) == key_of(heading)).count() == 1;
        if heading.is_empty() || !is_alone { (place + 1).to_string() } else { quoted(heading) }
    }

    /// Whether a heading stands twice.
    pub(super) fn has_repeated_headings(&self) -> bool {
        let mut seen = HashSet::new();
        self.header.iter().filter(|heading| !heading.is_empty()).any(|heading| !seen.insert(key_of(heading)))
    }

    pub(super) fn width(&self) -> usize {
        self.headings.len()
    }

    /// The cells of a column that are not blank.
    pub(super) fn cells(&self, place: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(move |row| row.get(place)).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    }

    /// Whether a row has something in a column.
    pub(super) fn is_filled(row: &[String], place: usize) -> bool {
        row.get(place).is_some_and(|cell| !cell.trim().is_empty())
    }

    /// The first different texts of a column, for people.
    pub(super) fn examples(&self, place: usize, most: usize) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.cells(place).filter(|cell| seen.insert(*cell)).take(most).collect()
    }

    /// Whether a column is taken for codes: where no heading is known as the account's, the first column before all
    /// texts, if its cells differ from each other.
    pub(super) fn is_code(&self, place: usize) -> bool {
        if self.at(Heading::Target("account_code")).is_some() || place > 1 || self.rows.len() < 2 {
            return false;
        }
        let cells = self.cells(place).count();
        let different: HashSet<&str> = self.cells(place).collect();
        cells > 1
            && different.len() == cells
            && self.cells(place).all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()))
            && (place + 1..self.width()).any(|next| self.cells(next).any(|cell| cell.starts_with(char::is_alphabetic)))
    }

    /// The column by which a row is known: its account's, or else the first that looks like codes.
    pub(super) fn key(&self) -> Option<usize> {
        let named = ["account_code", "account_name"].into_iter().find_map(|name| self.at(Heading::Target(name)));
        named.or_else(|| (0..self.width()).find(|place| self.is_code(*place)))
    }

    /// A column read as amounts.
    pub(super) fn figures(&self, place: usize) -> Figures {
        self.figures_in(&self.rows, place)
    }

    /// The cells of a column in these rows, read as amounts.
    pub(super) fn figures_in(&self, rows: &[Vec<String>], place: usize) -> Figures {
        let (mut texts, mut has_mark) = (0, false);
        let read = rows.iter().map(|row| {
            let cell = row.get(place).map_or("", |cell| cell.trim());
            match self.reader.read(cell, self.decimal) {
                Ok(amount) => {
                    has_mark |= amount.is_some() && other_amounts::has_mark(cell);
                    amount
                }
                Err(_) => {
                    texts += 1;
                    None
                }
            }
        });
        let amounts = read.collect();
        Figures { amounts, texts, has_mark }
    }

    /// Whether a column looks like amounts by itself: a sign or a decimal mark, or a heading that says so.
    pub(super) fn looks_like_amounts(&self, place: usize, figures: &Figures) -> bool {
        let heading = self.headings.get(place).map_or("", String::as_str);
        figures.count() > 0
            && figures.are_amounts()
            && !self.is_code(place)
            && (figures.has_mark || headings::names_amount(heading))
    }

    /// What the amounts tell about the decimal mark: those of columns that are taken for amounts, or else all.
    pub(super) fn evidence(&self) -> Evidence {
        let named: Vec<usize> =
            self.found.iter().filter(|(heading, _)| heading.is_amount()).map(|(_, place)| *place).collect();
        let known: Vec<usize> = self.found.iter().map(|(_, place)| *place).collect();
        let mut evidence = Evidence::default();
        for (line, row) in self.rows.iter().enumerate() {
            for (place, text) in row.iter().enumerate() {
                if named.contains(&place) || named.is_empty() && !self.is_code(place) && !known.contains(&place) {
                    self.reader.measure(text, line as u64, &mut evidence);
                }
            }
        }
        evidence
    }

    /// The formats under which every cell of a column is a period of which books are kept.
    pub(super) fn formats(&self, place: usize) -> Vec<&'static str> {
        let formats = FORMATS.into_iter().filter(|format| {
            let Ok(read) = PeriodFormat::new(format, &[], 0) else { return false };
            let mut cells = self.cells(place).peekable();
            cells.peek().is_some() && cells.all(|cell| is_recent(read.read(cell)))
        });
        formats.collect()
    }

    /// By row, the earlier one of the same account, in the same entity, period and company, if there is one.
    pub(super) fn earlier(&self) -> Vec<Option<usize>> {
        let key_names = ["entity", "period", "company_code", "account_code"];
        let is_key = |heading: &Heading| matches!(heading, Heading::Target(name) if key_names.contains(name));
        let places: Vec<usize> =
            self.found.iter().filter(|(heading, _)| is_key(heading)).map(|(_, place)| *place).collect();
        let mut seen: HashMap<Vec<&str>, usize> = HashMap::new();
        let earlier = self.rows.iter().enumerate().map(|(number, row)| {
            let key = places.iter().map(|place| row.get(*place).map_or("", |cell| cell.trim())).collect();
            seen.insert(key, number)
        });
        earlier.collect()
    }
}

fn at(found: &[(Heading, usize)], heading: Heading) -> Option<usize> {
    found.iter().find(|(known, _)| *known == heading).map(|(_, place)| *place)
}

/// The style in which amounts of a draft are read.
fn style(marks: &[(String, bool)]) -> AmountStyle {
    let marks = |debit: bool| marks.iter().filter(|(_, is)| *is == debit).map(|(mark, _)| mark.clone()).collect();
    AmountStyle {
        debit_marks: marks(true),
        credit_marks: marks(false),
        currency: CURRENCY.map(str::to_owned).to_vec(),
        empty: EMPTY.map(str::to_owned).to_vec(),
        ..AmountStyle::default()
    }
}

/// Whether a period is one that books are kept of; a number of eight digits may be anything.
fn is_recent(period: Option<String>) -> bool {
    period.is_some_and(|period| ("1990".."2100").contains(&period.get(..4).unwrap_or_default()))
}
