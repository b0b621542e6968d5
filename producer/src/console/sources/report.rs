//! A check as a page: what would load, and where two readings differ, their figures beside each other.

use maud::{Markup, html};
use shared::message::failure::BadRow;

use super::check::Answer;
use crate::{
    check::{Checked, CheckedRows, Draft, Figures, Fit, OtherAmounts},
    console::markup::{facts, or_dash, slice, status, table},
    output::{count, shortened},
};

/// Slices, of each of which more is told, bad rows and others that a page shows; the JSON form has all.
const SLICES: usize = 200;
const DETAILED: usize = 20;
const ROWS: usize = 200;
const OTHERS: usize = 20;

/// The whole report.
pub(super) fn whole(answer: &Answer) -> Markup {
    html! {
        @if let Some(undecided) = &answer.undecided {
            p class="bad" role="alert" { (undecided.message) }
            ul { @for fault in &undecided.faults { li { (fault) } } }
            p class="note" { "--source, --entity and --period are the fields of the form below." }
        }
        @match (&answer.checked, answer.would_load) {
            (Some(checked), Some(would_load)) => (verdict(checked, would_load)),
            (Some(_), None) | (None, _) => {}
        }
        (readings(&answer.fits))
        @if let Some(checked) = &answer.checked { (file(checked)) (slices(checked)) }
        @if let Some(draft) = &answer.draft { (drafted(draft)) }
        (unfit(&answer.fits))
    }
}

fn verdict(checked: &Checked, would_load: bool) -> Markup {
    let totals = &checked.totals;
    html! {
        p role="status" class=(if would_load { "good" } else { "bad" }) {
            strong { (if would_load { "Every row would load." } else { "A job would fail." }) }
            " Profile " (checked.source) ": " (count(totals.slices, "slice")) ", of which " (totals.failing)
            " would fail; " (totals.rows) " rows, " (count(totals.accounts, "account")) "."
        }
        @if let Some(failure) = &checked.failure { p class="bad" { (failure.to_string()) } }
        @for fault in checked.unclear.iter().chain(&checked.strangers).take(OTHERS) { p class="bad" { "No slice: " (fault) } }
        @for (rule, rows) in &checked.left_out { p { (rows) " rows are left out by " (rule) } }
    }
}

/// The profiles that fit, their figures beside each other.
fn readings(fits: &[Fit]) -> Markup {
    let fitting: Vec<&Fit> = fits.iter().filter(|fit| fit.fits).collect();
    let differ = fitting.windows(2).any(|two| (two[0].good, two[0].balance_sum) != (two[1].good, two[1].balance_sum));
    let caption = match (fitting.len(), differ) {
        (_, true) => "Profiles that fit, and differ: one of them is to be chosen",
        (_, false) => "Profiles that fit, by the file's largest slice",
    };
    let header: Vec<&str> = std::iter::once("").chain(fitting.iter().map(|fit| fit.source.as_str())).collect();
    html! {
        @if !fitting.is_empty() {
            (table(caption, &header, &html! {
                tr { th scope="row" { "good rows" } @for fit in &fitting { td class="number" { (fit.good) } } }
                tr { th scope="row" { "bad rows" } @for fit in &fitting { td class="number" { (fit.bad) } } }
                tr { th scope="row" { "sum" } @for fit in &fitting { td class="number" { (or_dash(fit.balance_sum.map(|sum| sum.to_string()))) } } }
                tr { th scope="row" { "balance read from" } @for fit in &fitting { td { (fit.balance_from.join(" and ")) } } }
                tr { th scope="row" { "columns found" } @for fit in &fitting { td class="number" { (fit.columns_found) " of " (fit.columns) } } }
                tr { th scope="row" { "other amounts" } @for fit in &fitting { td { (others(&fit.other_amounts)) } } }
                tr { th scope="row" { "adds up across" } @for fit in &fitting { td { (listed(&fit.added_up_across)) } } }
                tr { th scope="row" { "scale" } @for fit in &fitting { td { @if fit.is_scale_in_doubt { "the mark may be that of thousands" } @else { "-" } } } }
            }))
        }
    }
}

fn others(others: &[OtherAmounts]) -> Markup {
    html! {
        @if others.is_empty() { "-" } @else {
            ul { @for other in others.iter().take(OTHERS) { li { (other.told()) } } }
            @if others.len() > OTHERS { "and " (others.len() - OTHERS) " more" }
        }
    }
}

fn listed(texts: &[String]) -> Markup {
    html! {
        @if texts.is_empty() { "-" } @else {
            ul { @for text in texts.iter().take(OTHERS) { li { (shortened(text, 300)) } } }
            @if texts.len() > OTHERS { "and " (texts.len() - OTHERS) " more" }
        }
    }
}

fn unfit(fits: &[Fit]) -> Markup {
    let unfit: Vec<&Fit> = fits.iter().filter(|fit| !fit.fits).collect();
    html! {
        @if !unfit.is_empty() {
            details {
                summary { (count(unfit.len(), "profile")) " that " (if unfit.len() == 1 { "does" } else { "do" }) " not fit, and why" }
                ul { @for fit in unfit { li { strong { (fit.source) } ": " (fit.reason) } } }
            }
        }
    }
}

fn file(checked: &Checked) -> Markup {
    let origins = |column: &str| checked.origins.get(column).map(|names| names.join(" and "));
    html! {
        (facts(&[
            ("file", html! { (checked.file.path) ", " (checked.file.bytes) " bytes" }),
            ("SHA-256", html! { (checked.file.fingerprint) }),
            ("rows", html! { (checked.rows) }),
            ("encoding", or_dash(checked.dialect.as_ref().and_then(|dialect| dialect.encoding))),
            ("delimiter", or_dash(checked.dialect.as_ref().and_then(|dialect| dialect.delimiter.as_ref()).map(|text| format!("{text:?}")))),
            ("sheet", or_dash(checked.dialect.as_ref().and_then(|dialect| dialect.sheet.as_deref()))),
            ("header on line", or_dash(checked.dialect.as_ref().and_then(|dialect| dialect.header_line))),
            ("fills", html! { (checked.filled_columns.join(", ")) }),
            ("balance from", or_dash(origins("balance"))),
            ("not loaded", or_dash(Some(shortened(&checked.extra_columns.join(", "), 600)).filter(|text| !text.is_empty()))),
        ]))
    }
}

fn slices(checked: &Checked) -> Markup {
    let totals = &checked.totals;
    let (failing, loading): (Vec<_>, Vec<_>) = checked.slices.iter().partition(|slice| !slice.loads);
    html! {
        @if checked.slices.is_empty() { p class="bad" { "No row is of any slice that was asked for." } } @else {
            (table("Slices", &["slice", "job", "rows", "accounts", "bad", "left out", "sum", "debit", "credit"], &html! {
                @for one in checked.slices.iter().take(SLICES) {
                    tr {
                        td { (slice(&one.entity, &one.period)) }
                        td { (status(if one.loads { "load" } else { "fail" })) }
                        td class="number" { (one.rows) }
                        td class="number" { (one.accounts) }
                        td class="number" { (one.failed + one.repeated_keys_total) }
                        td class="number" { (one.left_out + one.without_key) }
                        td class="number" { (or_dash(one.balance_sum.as_deref())) }
                        td class="number" { (or_dash(one.ledger.debit.map(|sum| sum.to_string()))) }
                        td class="number" { (or_dash(one.ledger.credit.map(|sum| sum.to_string()))) }
                    }
                }
                @if totals.slices > 1 {
                    tr {
                        th scope="row" { "in all" } td {}
                        td class="number" { (totals.rows) } td class="number" { (totals.accounts) } td {} td {}
                        td class="number" { (or_dash(totals.balance_sum.map(|sum| sum.to_string()))) }
                        td class="number" { (or_dash(totals.debit.map(|sum| sum.to_string()))) }
                        td class="number" { (or_dash(totals.credit.map(|sum| sum.to_string()))) }
                    }
                }
            }))
            @if totals.slices > SLICES { p class="note" { "The first " (SLICES) " of " (totals.slices) " slices." } }
            @for one in failing.iter().chain(&loading).take(DETAILED) { (details(one)) }
            @if totals.slices > DETAILED { p class="note" { "More is told of " (DETAILED) " slices alone; entity and period look at one." } }
        }
    }
}

fn details(one: &CheckedRows) -> Markup {
    html! {
        section class="card" aria-label=(format!("{} {}", one.entity, one.period)) {
            h2 { (one.entity) " " (one.period) }
            @if let Some(failure) = &one.failure { p class="bad" { (failure.to_string()) } }
            (figures(one))
            @if let Some(profile) = &one.data_profile {
                @let nil = &profile.nil_check;
                p { "Nil check: " (if nil.balanced { "balanced" } else { "not balanced" }) ", the rows sum to " (nil.sum.to_string()) " (tolerance " (nil.tolerance.to_string()) ")." }
            }
            @if !one.other_amounts.is_empty() { p { "Not loaded as the balance:" } (others(&one.other_amounts)) }
            @if !one.added_up_across.is_empty() {
                p class="busy" { "Added up? The rows go into one slice whatever stands in:" } (listed(&one.added_up_across))
            }
            @for (codes, what) in [(&one.groups, "are the sum of others"), (&one.totals, "call themselves a total")] {
                @if !codes.is_empty() {
                    p class="busy" { "Counted twice? " (codes.len()) " accounts " (what) ": " (codes.iter().take(OTHERS).map(|code| shortened(code, 40)).collect::<Vec<_>>().join(", ")) @if codes.len() > OTHERS { " and more" } }
                }
            }
            @for warning in one.warnings.iter().take(OTHERS) { p class="note" { (shortened(warning, 400)) } }
            (bad_rows(one))
            @if !one.first_rows.is_empty() {
                (table("First rows", &["line", "company", "account", "name", "balance"], &html! {
                    @for row in &one.first_rows {
                        tr {
                            td class="number" { (row.line) }
                            td { (row.company_code) }
                            td { (row.account_code) }
                            td { (or_dash(row.account_name.as_deref())) }
                            td class="number" { (row.balance) }
                        }
                    }
                }))
            }
        }
    }
}

/// The figures of a slice, and beside them those without what may count twice.
fn figures(one: &CheckedRows) -> Markup {
    let all: Vec<(&str, &Figures)> = std::iter::once(("as it is read", &one.ledger))
        .chain(one.without_groups.iter().map(|figures| ("without sums of others", figures)))
        .collect();
    let header: Vec<&str> = std::iter::once("").chain(all.iter().map(|(name, _)| *name)).collect();
    let caption = if one.loads { "The ledger would hold" } else { "The good rows come to" };
    html! {
        (table(caption, &header, &html! {
            tr { th scope="row" { "sum" } @for (_, figures) in &all { td class="number" { (or_dash(figures.balance_sum.map(|sum| sum.to_string()))) } } }
            tr { th scope="row" { "debit" } @for (_, figures) in &all { td class="number" { (or_dash(figures.debit.map(|sum| sum.to_string()))) } } }
            tr { th scope="row" { "credit" } @for (_, figures) in &all { td class="number" { (or_dash(figures.credit.map(|sum| sum.to_string()))) } } }
        }))
    }
}

fn bad_rows(one: &CheckedRows) -> Markup {
    let bad: Vec<&BadRow> = one.bad_rows.iter().chain(&one.repeated_keys).collect();
    let total = one.failed + one.repeated_keys_total;
    let shown = bad.len().min(ROWS);
    html! {
        @if !bad.is_empty() {
            (table("Bad rows", &["line", "column", "reason", "cells of the file"], &html! {
                @for row in bad.iter().take(ROWS) {
                    tr {
                        td class="number" { (row.line) }
                        td { (or_dash(row.column.as_deref())) }
                        td { (row.reason) }
                        td {
                            @for cell in one.bad_cells.get(&row.line).into_iter().flatten().take(OTHERS) {
                                (cell.column) ": " (shortened(&cell.text, 100)) br;
                            }
                        }
                    }
                }
            }))
            @if total > shown as u64 { p class="note" { "The first " (shown) " of " (total) " bad rows." } }
        }
    }
}

fn drafted(draft: &Draft) -> Markup {
    html! {
        p role="status" { "A draft of a profile. What is \"?\" only a person can decide; with one of them left, it does not load." }
        @if draft.readings.len() > 1 {
            (table("Readings of the balance that the file allows", &["the profile would say", "amounts", "sum", "debit"], &html! {
                @for reading in &draft.readings {
                    tr {
                        td { (reading.balance) }
                        td class="number" { (reading.amounts) }
                        td class="number" { (reading.sum) }
                        td class="number" { (reading.debit) }
                    }
                }
            }))
        }
        h2 { "Draft" }
        pre { (draft.toml) }
    }
}
