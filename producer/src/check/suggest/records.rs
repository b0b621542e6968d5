//! What single records are: headings, rows of figures, totals, drawn lines.

use shared::{
    amount::Amount,
    file::{amount_text::AmountReader, mapping_profile::DecimalMark, trial_balance::names_total},
};

use super::{cells::usual_width, headings};

/// The first record that names most of the ledger's columns, or else the first of the usual width.
pub(super) fn header_place(records: &[Vec<String>]) -> usize {
    let known = |record: &Vec<String>| headings::find(record, &[]).len();
    let searched = records.iter().take(100).enumerate();
    let best = searched.max_by_key(|(place, record)| (known(record), std::cmp::Reverse(*place)));
    match best {
        Some((place, record)) if known(record) > 1 => place,
        _ => {
            let width = usual_width(records);
            let filled = |record: &Vec<String>| record.iter().filter(|cell| !cell.trim().is_empty()).count();
            let most = records.iter().take(100).filter(|record| record.len() == width).map(filled).max().unwrap_or(0);
            // Titles fill a cell or two of their record.
            let is_heading = |record: &Vec<String>| record.len() == width && filled(record) * 2 >= most.max(2);
            records.iter().position(is_heading).unwrap_or(0)
        }
    }
}

/// Whether the first record is a row and no headings: each column that holds figures below has one there.
pub(super) fn is_row_of_figures(reader: &AmountReader, records: &[Vec<String>]) -> bool {
    let Some((first, below)) = records.split_first() else { return false };
    if headings::find(first, &[]).len() > 1 || below.is_empty() {
        return false;
    }
    let is_figure = |cell: &str| {
        let marks = [DecimalMark::Point, DecimalMark::Comma];
        cell.bytes().any(|byte| byte.is_ascii_digit())
            && marks.iter().any(|mark| matches!(reader.read(cell, *mark), Ok(Some(_))))
    };
    let is_numeric = |place: &usize| {
        let cells = below.iter().filter_map(|row| row.get(*place)).map(|cell| cell.trim());
        let (mut figures, mut texts) = (0, 0);
        cells
            .filter(|cell| !cell.is_empty())
            .for_each(|cell| *(if is_figure(cell) { &mut figures } else { &mut texts }) += 1);
        figures > 0 && texts * 5 <= figures
    };
    let numeric: Vec<usize> = (0..first.len()).filter(is_numeric).collect();
    let mut filled = numeric.iter().map(|place| first[*place].trim()).filter(|cell| !cell.is_empty()).peekable();
    filled.peek().is_some() && filled.all(is_figure)
}

/// Whether a row that calls itself a total is one: of each column that it fills with an amount it has the sum of rows
/// above it, of which all are added up or the nearest ones.
pub(super) fn is_total_of(reader: &AmountReader, row: &[String], above: &[Vec<String>]) -> bool {
    let marks = [DecimalMark::Point, DecimalMark::Comma];
    let is_sum = |mark: DecimalMark| {
        let read = |cell: Option<&String>| cell.and_then(|cell| reader.read(cell.trim(), mark).ok()).flatten();
        let is_figure =
            |cell: &str| cell.bytes().any(|byte| byte.is_ascii_digit()) && !cell.chars().any(char::is_alphabetic);
        if row.iter().map(|cell| cell.trim()).any(|cell| is_figure(cell) && reader.read(cell, mark).is_err()) {
            return false;
        }
        let mut filled = (0..row.len()).filter_map(|place| Some((place, read(row.get(place))?)));
        filled.all(|(place, total)| {
            let (mut sum, mut parts) = (0_i128, 0);
            let rows = above.iter().rev().filter(|row| !first_cell(row).is_some_and(names_total));
            let mut sums = rows.filter_map(|row| read(row.get(place))).map(|amount| {
                sum = sum.saturating_add(amount.units());
                parts += u32::from(amount != Amount::ZERO);
                parts > 1 && sum == total.units()
            });
            total == Amount::ZERO || sums.any(|is_sum| is_sum)
        })
    };
    marks.into_iter().any(is_sum)
}

/// Whether a record is a drawn line.
pub(super) fn is_rule(row: &[String]) -> bool {
    let mut marks = 0;
    let is_drawn = row.iter().flat_map(|cell| cell.trim().chars()).all(|c| {
        marks += 1;
        matches!(c, '-' | '=' | '_' | '+')
    });
    is_drawn && marks > 2
}

pub(super) fn first_cell(row: &[String]) -> Option<&str> {
    row.iter().map(|cell| cell.trim()).find(|cell| !cell.is_empty())
}
