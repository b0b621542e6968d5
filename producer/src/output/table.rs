//! Tables that fit the terminal: what people copy is never broken, and longer texts are folded.

use std::fmt::{self, Display};

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, TableStyle, Width};
use shared::printable;
use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

use super::color;

/// A line below the header and none besides.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// The widest cell that is always kept whole: a UUID is.
const WHOLE: usize = 36;
/// The least width of a column that is folded.
const FOLDED: usize = 16;
/// Spaces beside each cell.
const PADDING: usize = 2;
/// What stands between two cells.
const SEPARATOR: usize = 1;
/// Spaces before an identity that stands on a line of its own.
const INDENT: usize = 3;
/// Begins a row whose identity stands on a line of its own; it has no width.
const ROW: char = '\u{e0ff4}';

/// A table whose cells are one line each, whatever they hold, until it is fitted into a terminal.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    identity: Option<usize>,
    spare: Vec<usize>,
    width: Option<usize>,
}

/// How a table is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// With these columns side by side, and the identity below each row or among them.
    Columns { shown: Vec<usize>, is_identity_apart: bool },
    /// Each row as lines of names and values.
    Records,
}

impl Table {
    /// A table as wide as this, or as its content.
    pub(super) fn new(header: &[&'static str], width: Option<usize>) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), identity: None, spare: Vec::new(), width }
    }

    /// Names the column that says which one a row is about. It gets a line of its own where the table is too wide.
    pub(crate) fn identity(&mut self, column: usize) {
        self.identity = Some(column);
    }

    /// Names columns to leave out, the least important first, where the table is too wide even so.
    pub(crate) fn spare(&mut self, columns: &[usize]) {
        self.spare = columns.to_vec();
    }

    /// Leaves room for what stands before each line.
    pub(crate) fn indent(&mut self, by: usize) {
        self.width = self.width.map(|width| width.saturating_sub(by));
    }

    /// Adds a row below the others.
    pub(crate) fn add_row<const N: usize>(&mut self, cells: [impl AsRef<str>; N]) {
        // Before the widths are measured, and so that no cell looks like further rows.
        let harmless = |cell: &str| printable::line(cell).replace(ROW, "");
        self.rows.push(cells.iter().map(|cell| harmless(cell.as_ref())).collect());
    }

    /// The table without spaces at the ends of its lines.
    pub(crate) fn trim_fmt(&self) -> String {
        let Some(width) = self.width else {
            return self.columns(&(0..self.header.len()).collect::<Vec<_>>(), None, None);
        };
        match self.layout(width) {
            Layout::Columns { shown, is_identity_apart } => {
                let apart = self.identity.filter(|_| is_identity_apart);
                let mut text = self.columns(&shown, apart, Some(width));
                let is_left_out = |column: &usize| !shown.contains(column) && apart != Some(*column);
                let left_out: Vec<_> = (0..self.header.len()).filter(is_left_out).map(|n| self.header[n]).collect();
                if !left_out.is_empty() {
                    text.push_str(&format!("\n (no room for {}: --json)", left_out.join(", ")));
                }
                text
            }
            Layout::Records => self.records(),
        }
    }

    /// The least width of a column, and whether it is folded.
    fn least(&self, column: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        let widest = cells().chain([self.header[column]]).map(UnicodeWidthStr::width).max().unwrap_or(0);
        if widest <= WHOLE {
            return (widest, false);
        }
        let identities = cells().flat_map(|cell| cell.split(' ')).filter(|word| holds_identity(word));
        (identities.map(UnicodeWidthStr::width).max().unwrap_or(0).max(FOLDED), true)
    }

    fn layout(&self, width: usize) -> Layout {
        let fits = |shown: &[usize]| taken(shown.iter().map(|column| self.least(*column).0)) <= width;
        let mut shown: Vec<usize> = (0..self.header.len()).collect();
        if fits(&shown) {
            return Layout::Columns { shown, is_identity_apart: false };
        }
        let is_identity_apart = self
            .identity
            .is_some_and(|column| INDENT + self.header[column].width() + SEPARATOR + self.least(column).0 <= width);
        shown.retain(|column| !is_identity_apart || self.identity != Some(*column));
        // What says nothing goes first.
        let says_nothing = |column: &usize| self.rows.iter().all(|row| matches!(row[*column].as_str(), "0" | "-" | ""));
        let (silent, telling): (Vec<usize>, Vec<usize>) = self.spare.iter().partition(|column| says_nothing(column));
        let mut spare = silent.into_iter().chain(telling);
        while !fits(&shown) {
            match spare.next() {
                Some(column) => shown.retain(|other| *other != column),
                None => return Layout::Records,
            }
        }
        Layout::Columns { shown, is_identity_apart }
    }

    fn columns(&self, shown: &[usize], apart: Option<usize>, width: Option<usize>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE).set_header(shown.iter().map(|column| self.header[*column]));
        for row in &self.rows {
            let mut cells: Vec<String> = shown.iter().map(|column| row[*column].clone()).collect();
            if let (Some(first), Some(_)) = (cells.first_mut(), apart) {
                first.insert(0, ROW);
            }
            table.add_row(cells);
        }
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(cells_of(width));
            let least: Vec<(usize, bool)> = shown.iter().map(|column| self.least(*column)).collect();
            let folded = least.iter().filter(|(_, is_folded)| *is_folded).count();
            let share = width.saturating_sub(taken(least.iter().map(|(least, _)| *least))) / folded.max(1);
            for (number, (least, is_folded)) in least.into_iter().enumerate() {
                let constraint = match is_folded {
                    true => ColumnConstraint::UpperBoundary(Width::Fixed(cells_of(least + PADDING + share))),
                    false => ColumnConstraint::ContentWidth,
                };
                if let Some(column) = table.column_mut(number) {
                    column.set_constraint(constraint);
                }
            }
        }
        let text = table.trim_fmt();
        match apart {
            Some(identity) => self.with_identities(&text, identity),
            None => text,
        }
    }

    /// The lines of a table with each row's identity below it.
    fn with_identities(&self, text: &str, identity: usize) -> String {
        let mut below =
            self.rows.iter().map(|row| format!("{:INDENT$}{} {}", "", self.header[identity], row[identity]));
        let mut lines: Vec<String> = Vec::new();
        let mut is_within = false;
        for line in text.lines() {
            if line.contains(ROW) && std::mem::replace(&mut is_within, true) {
                lines.extend(below.next());
            }
            lines.push(line.replace(ROW, ""));
        }
        lines.extend(below.next());
        lines.join("\n")
    }

    fn records(&self) -> String {
        let label = self.header.iter().map(|name| name.width()).max().unwrap_or(0);
        let line = |(name, cell): (&&str, &String)| format!(" {name:label$}  {cell}");
        let record = |row: &Vec<String>| self.header.iter().zip(row).map(line).collect::<Vec<_>>().join("\n");
        self.rows.iter().map(record).collect::<Vec<_>>().join("\n\n")
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trim_fmt())
    }
}

/// How wide columns are side by side.
fn taken(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + PADDING + SEPARATOR).sum::<usize>().saturating_sub(SEPARATOR)
}

fn cells_of(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

/// Returns whether a word has a UUID in it.
fn holds_identity(word: &str) -> bool {
    let mut parts = word.split(|c: char| !c.is_ascii_hexdigit() && c != '-' && !color::is_mark(c));
    parts.any(|part| part.len() == WHOLE && Uuid::try_parse(part).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01981f6e-0000-7000-8000-000000000000";

    fn jobs(width: Option<usize>, error: &str) -> String {
        let mut table = Table::new(&["job", "entity", "rows", "absent", "started", "error"], width);
        table.identity(0);
        table.spare(&[2, 3]);
        for entity in ["ABEX", "日本語"] {
            table.add_row([ID, entity, "10", "0", "2022-07-01T12:00:00Z", error]);
        }
        table.trim_fmt()
    }

    #[test]
    fn a_table_fits_every_width_and_breaks_no_identity() {
        let error =
            format!("row_invalid: the balance of job {ID} is not a number, and so are many others of this file");
        for width in 40..200 {
            for error in ["-", &error] {
                let text = jobs(Some(width), error);
                let expected = if error == "-" { 2 } else { 4 };
                assert_eq!(text.matches(ID).count(), expected, "at {width}:\n{text}");
                let is_table = text.contains('─');
                let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap();
                assert!(!is_table || widest <= width, "{widest} at {width}:\n{text}");
                assert!(text.matches("2022-07-01T12:00:00Z").count() == 2, "at {width}:\n{text}");
                assert!(!text.contains(ROW));
            }
        }
    }

    #[test]
    fn a_table_of_no_terminal_has_a_line_a_row() {
        let error = "x ".repeat(200);
        assert_eq!(jobs(None, &error).lines().count(), 4);
    }

    #[test]
    fn what_says_nothing_is_left_out_first_and_that_is_said() {
        let text = jobs(Some(61), "unlike-anything");
        assert!(text.contains("no room for absent:") && text.contains("rows"), "{text}");
        assert_eq!(text.lines().filter(|line| line.trim() == format!("job {ID}")).count(), 2, "{text}");
    }

    #[test]
    fn marks_change_no_width() {
        let text = || {
            let mut table = Table::new(&["status", "rows"], Some(80));
            table.add_row([color::status("failed"), "1".to_owned()]);
            table.add_row(["superseded".to_owned(), "2".to_owned()]);
            table.trim_fmt()
        };
        assert_eq!(color::marked(text).replace(color::is_mark, ""), text());
    }
}
