//! What `verify` says of a slice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State as Shared},
    http::StatusCode,
    response::Response,
};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::slice::Slice;

use super::{figures, named, place};
use crate::{
    console::{
        Console, answer,
        entrance::Asked,
        markup::{job, or_dash, table},
        problem::Problem,
    },
    history, verify,
    verify::{finding::Code, report::Report},
};

/// How long it may take: less than an answer may.
const LIMIT: Duration = Duration::from_secs(25);

/// What the page tells.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Verified {
    entity: String,
    period: String,
    /// Whether no audit event was changed, removed, added or reordered; none if that was not seen.
    audit_chain_is_whole: Option<bool>,
    #[serde(flatten)]
    report: Report,
}

/// The page.
pub(crate) async fn verified(
    Shared(console): Shared<Arc<Console>>,
    Path((entity, period)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let slice = named(&entity, &period)?;
    let failed = Problem::postgres(&console.settings);
    if !figures::is_known(&console.pool, &slice).await.map_err(failed)? {
        return Err(Problem::unknown(history::unknown(&slice.entity, &slice.period)));
    }
    let Ok(_turn) = console.verifying.try_acquire() else {
        let message = "other slices are being verified; try again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    let report = verify::of_slice(slice.clone(), &console.settings, LIMIT).await?;
    let page = Verified { entity, period, audit_chain_is_whole: report.chain_is_whole(), report };
    let title = format!("Verify {slice}");
    Ok(answer::page(&console, &asked, &title, &page, || body(&slice, &page)))
}

fn body(slice: &Slice, page: &Verified) -> Markup {
    let report = &page.report;
    html! {
        h1 { "Verify " (slice.entity) " " (slice.period) }
        @if report.findings.is_empty() {
            p class=(if report.unseen.is_some() { "bad" } else { "good" }) role="status" { (report.nothing_found()) }
        }
        @if let Some(unseen) = &report.unseen { p class="bad" role="alert" { (unseen) } }
        @match page.audit_chain_is_whole {
            Some(true) => p class="good" { "The audit chain is verified: no event was changed, removed, added or reordered." },
            Some(false) => p class="bad" role="alert" { "The audit chain is not whole." },
            None => p class="note" { "The audit chain was not seen." },
        }
        @if report.unseen.is_none() { @for line in report.looked_at() { p class="note" { (line) } } }
        (findings(report))
        p {
            a class="button" href=(place(slice, "/verify", &[])) { "Verify again" } " "
            a href=(place(slice, "", &[])) { (slice.entity) " " (slice.period) }
        }
    }
}

fn findings(report: &Report) -> Markup {
    let remedies: BTreeMap<Code, &str> = report.findings.iter().map(|finding| (finding.code, finding.remedy)).collect();
    html! {
        @if !report.findings.is_empty() {
            (table("Findings", &["finding", "what", "job"], &html! {
                @for finding in &report.findings {
                    tr {
                        td class="bad" { (finding.code.as_str()) }
                        td { (finding.detail) }
                        td { (or_dash(finding.job_id.map(job))) }
                    }
                }
            }))
            h2 { "What to do" }
            dl { @for (code, remedy) in remedies { dt { (code.as_str()) } dd { (remedy) } } }
        }
    }
}
