//! Headings in two rows: `Closing balance` above `Debit` and `Credit`.
//!
//! A profile joins them all (`header_rows`). What a column is, its own cell says, unless that is one of a pair.

use super::{headings, sides};

/// Whether two records that follow each other are headings in two rows.
pub(super) fn are_headings(upper: &[String], lower: &[String]) -> bool {
    let filled = |record: &[String], place: usize| record.get(place).is_some_and(|cell| !cell.trim().is_empty());
    let texts = |record: &[String]| record.iter().filter(|cell| !cell.trim().is_empty()).count();
    let has_figure = |record: &[String]| {
        record.iter().any(|cell| cell.trim().starts_with(|c: char| c.is_ascii_digit() || "-(.,".contains(c)))
    };
    // A title stands alone, in the first column.
    let is_title = texts(upper) == 1 && filled(upper, 0);
    // The upper one may hold years or dates.
    if has_figure(lower) || texts(lower) < 2 || texts(upper) == 0 || is_title {
        return false;
    }
    let sides: Vec<usize> = (0..lower.len()).filter(|place| is_part(lower, *place)).collect();
    // A second heading stands above the first of its columns.
    let above = (0..upper.len()).filter(|place| filled(upper, *place));
    let covers = above.clone().filter(|place| sides.contains(place)).count();
    // What names the upper row's other columns has nothing below it, or nothing above it.
    let is_apart = above.filter(|place| !sides.contains(place)).all(|place| !filled(lower, place));
    sides.len() >= 2 && covers > 0 && covers < sides.len() && is_apart
}

/// The headings that two rows make together.
pub(super) fn joined(upper: &[String], lower: &[String]) -> Vec<String> {
    let cell = |record: &[String], place: usize| record.get(place).map_or("", |cell| cell.trim()).to_owned();
    let mut over = String::new();
    let join = |place: usize| {
        let (above, below) = (cell(upper, place), cell(lower, place));
        if !above.is_empty() {
            over.clone_from(&above);
        }
        match (above.is_empty(), below.is_empty()) {
            (_, true) => above,
            (true, false) if !is_part(lower, place) => below,
            _ => format!("{over} {below}").trim().to_owned(),
        }
    };
    (0..upper.len().max(lower.len())).map(join).collect()
}

/// Whether a heading is a part of what stands above it: one of two sides, an amount, or one that stands again.
fn is_part(lower: &[String], place: usize) -> bool {
    let heading = lower.get(place).map_or("", |cell| cell.trim());
    let times = lower.iter().filter(|cell| cell.trim() == heading).count();
    !heading.is_empty() && (times > 1 || sides::is_side(heading) || headings::names_amount(heading))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Vec<String> {
        text.split(';').map(str::to_owned).collect()
    }

    #[test]
    fn headings_of_two_rows_are_those_of_their_columns() {
        for (upper, lower, whole) in [
            (
                "Account;Name;Opening;;Closing;",
                ";;Debit;Credit;Debit;Credit",
                "Account|Name|Opening Debit|Opening Credit|Closing Debit|Closing Credit",
            ),
            (
                ";;Saldo finale;;",
                "Conto;Descrizione;Dare;Avere;Note",
                "Conto|Descrizione|Saldo finale Dare|Saldo finale Avere|Note",
            ),
            (
                "Konto;Name;30.06.2022;;01.01.2022;",
                ";;Soll;Haben;Soll;Haben",
                "Konto|Name|30.06.2022 Soll|30.06.2022 Haben|01.01.2022 Soll|01.01.2022 Haben",
            ),
            (
                "Acct;Name;June;;YTD;",
                ";;Actual;Budget;Actual;Budget",
                "Acct|Name|June Actual|June Budget|YTD Actual|YTD Budget",
            ),
            ("科目编码;科目名称;期末余额;", ";;借方;贷方", "科目编码|科目名称|期末余额 借方|期末余额 贷方"),
        ] {
            let (upper, lower) = (record(upper), record(lower));
            assert!(are_headings(&upper, &lower), "{upper:?}");
            assert_eq!(joined(&upper, &lower).join("|"), whole);
        }
    }

    #[test]
    fn a_title_a_row_and_a_heading_of_its_own_make_no_second_row() {
        for (upper, lower) in [
            ("Trial balance;;;", "Account;Name;Debit;Credit"),
            ("Account;Name;Debit;Credit", "1000;Cash;5;"),
            ("Account;Name;Debit;Credit", ";Assets;;"),
            ("Account;Name;Debit;Credit", "Account;Name;Debit;Credit"),
            ("Company;;As of;", "Account;Name;Debit;Credit"),
            ("Trial balance;;;", "借方勘定科目;借方金額;貸方勘定科目;貸方金額"),
        ] {
            assert!(!are_headings(&record(upper), &record(lower)), "{upper} {lower}");
        }
    }
}
