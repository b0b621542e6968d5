//! What a dry run told: what would become of each job, and what that would do to the books.

use maud::{Markup, html};
use shared::message::dry_run::Effect;

use crate::{
    console::markup::{job, or_dash, slice, status, table},
    dry_run::report::{FileNow, Report, Tried},
    output::shortened,
};

/// Jobs that are shown one by one; the JSON form has all.
const SHOWN: usize = 200;

/// The whole report.
pub(super) fn report(report: &Report) -> Markup {
    html! {
        h2 { "What a replay would do" }
        p role="status" {
            "Nothing was changed. "
            @for (number, (would, jobs)) in report.would.iter().enumerate() {
                @if number > 0 { ", " }
                strong { (jobs) } " would " (would)
            }
            "."
        }
        (table("Jobs", &["slice", "would", "the file", "net movement", "accounts then", "sum then", "why", "job"], &html! {
            @for tried in report.jobs.iter().take(SHOWN) { (row(tried)) }
        }))
        @if report.jobs.len() > SHOWN { p class="note" { "The first " (SHOWN) " of " (report.jobs.len()) " jobs." } }
        @for tried in report.jobs.iter().take(SHOWN) {
            @if let Some(effect) = tried.told.as_ref().and_then(|told| told.effect.as_ref()) { (movements(tried, effect)) }
        }
        @for id in &report.missing { p class="bad" { "No letter of job " (id.to_string()) " is written down." } }
    }
}

fn row(tried: &Tried) -> Markup {
    let effect = tried.told.as_ref().and_then(|told| told.effect.as_ref());
    let file = match tried.file_now {
        Some(FileNow::Same) => "the same",
        Some(FileNow::Corrected) => "another one",
        Some(FileNow::Gone) => "not there",
        Some(FileNow::Unknown) | None => "-",
    };
    html! {
        tr {
            td {
                @match (&tried.entity, &tried.period) {
                    (Some(entity), Some(period)) => (slice(entity, period)),
                    (entity, period) => { (or_dash(entity.as_deref())) " " (or_dash(period.as_deref())) }
                }
            }
            td { (status(tried.would.as_str())) }
            td { (file) }
            td class="number" { (or_dash(effect.map(|effect| effect.net_movement.as_str()))) }
            td class="number" { (or_dash(effect.map(|effect| effect.slice_rows))) }
            td class="number" { (or_dash(effect.map(|effect| effect.slice_sum.as_str()))) }
            td {
                (tried.why.as_deref().map(|why| shortened(why, 300)).unwrap_or_default())
                @if tried.others_of_slice > 0 { " " (tried.others_of_slice) " other jobs of this slice: each was tried against the ledger as it is." }
            }
            td { @match tried.job_id { Some(id) => (job(id)), None => "-" } }
        }
    }
}

fn movements(tried: &Tried, effect: &Effect) -> Markup {
    let of = format!("{} {}", tried.entity.as_deref().unwrap_or("-"), tried.period.as_deref().unwrap_or("-"));
    html! {
        details {
            summary {
                (of) ": " (effect.inserted) " new, " (effect.updated) " changed, " (effect.deleted) " gone, "
                (effect.unchanged) " unchanged, " (effect.absent) " left standing, " (effect.failed) " put aside"
            }
            (table(&format!("Largest changes of {of}"), &["account", "name", "change", "from", "to", "movement"], &html! {
                @for one in &effect.largest {
                    tr {
                        td { (one.account_code) }
                        td { (or_dash(one.account_name.as_deref())) }
                        td { (one.change) }
                        td class="number" { (or_dash(one.old_balance.as_deref())) }
                        td class="number" { (or_dash(one.new_balance.as_deref())) }
                        td class="number" { (one.movement) }
                    }
                }
            }))
        }
    }
}
