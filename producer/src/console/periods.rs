//! *Periods*: which are closed, by whom and why; controllers close and open them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use shared::{message::event::EventType, settings::Settings};

use super::{
    Console, answer,
    entrance::{Asked, Viewer},
    markup::{csrf, or_dash, table, time},
    people::Role,
    problem::Problem,
};
use crate::period::{self, Args, Locks};

/// The page.
pub(crate) async fn page(State(console): State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let locks = period::locks(&console.pool).await.map_err(failed)?;
    Ok(answer::page(&console, &asked, "Periods", &locks, || {
        html! {
            h1 { "Periods" }
            (list(&locks, &asked.viewer))
            @if asked.viewer.may(Role::Controller) { (close(&asked.viewer)) }
        }
    }))
}

fn list(locks: &Locks, viewer: &Viewer) -> Markup {
    html! {
        @if locks.locks.is_empty() {
            p { "No period is locked." }
        } @else {
            (table("Locked periods", &["period", "entity", "locked", "by", "reason", "open it"], &html! {
                @for lock in &locks.locks {
                    tr {
                        td { (lock.period) }
                        td { @if lock.entity == "*" { "all" } @else { (lock.entity) } }
                        td { (time(lock.locked_at)) }
                        td { (lock.locked_by) }
                        td { (or_dash(lock.reason.as_deref())) }
                        td {
                            @if viewer.may(Role::Controller) {
                                form class="inline" method="post" action="/periods/unlock" {
                                    (csrf(viewer))
                                    input type="hidden" name="period" value=(lock.period);
                                    @if lock.entity != "*" { input type="hidden" name="entity" value=(lock.entity); }
                                    label { "Reason" input name="reason" required autocomplete="off"; }
                                    button { "Unlock " (lock.period) " " (lock.entity) }
                                }
                            } @else { "-" }
                        }
                    }
                }
            }))
        }
    }
}

fn close(viewer: &Viewer) -> Markup {
    html! {
        section class="card" aria-label="Lock a period" {
            h2 { "Lock a period" }
            p { "Once it is locked, no job for it commits any more." }
            form method="post" action="/periods/lock" {
                (csrf(viewer))
                label { "Period" input name="period" required placeholder="2022-06" pattern="[0-9]{4}-[0-9]{2}" autocomplete="off"; }
                label { "Entity" input name="entity" placeholder="all" autocomplete="off"; }
                label { "Reason, for the audit trail" input name="reason" required autocomplete="off"; }
                button { "Lock" }
            }
        }
    }
}

/// Closes a period.
pub(crate) async fn lock(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    change(&console, &asked, &fields, EventType::PeriodLocked).await
}

/// Opens a period.
pub(crate) async fn unlock(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    change(&console, &asked, &fields, EventType::PeriodUnlocked).await
}

async fn change(
    console: &Console,
    asked: &Asked,
    fields: &BTreeMap<String, String>,
    to: EventType,
) -> Result<Response, Problem> {
    let field = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let person = asked.viewer.act(Role::Controller, field("csrf").or(asked.csrf.as_deref()))?;
    let period = field("period").ok_or_else(|| Problem::input("say which period"))?;
    let reason = field("reason").ok_or_else(|| Problem::input("say why: the audit trail keeps it"))?;
    let invalid = |error: shared::slice::InvalidCode| Problem::input(error.to_string());
    let args = Args {
        period: period.parse().map_err(invalid)?,
        entity: field("entity").map(str::parse).transpose().map_err(invalid)?,
        reason: Some(reason.to_owned()),
    };
    let settings = Settings { actor: person.name, ..console.settings.clone() };
    let changed = period::change(&console.pool, &args, to, &settings).await;
    let changed = changed.map_err(Problem::postgres(&console.settings))?;
    if asked.wants_json {
        return Ok(answer::document(StatusCode::OK, &changed));
    }
    Ok(Redirect::to("/periods").into_response())
}
