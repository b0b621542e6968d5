//! A close as a table of entities and periods, each slice with how it stands in a word and a colour.

use std::sync::Arc;

use axum::{
    extract::{Query as Fields, State as Shared},
    response::Response,
};
use maud::{Markup, html};
use shared::{
    settings::Settings,
    slice::{Entity, Period},
};

use super::{
    Query,
    cells::{self, Cell, Close, State, Wanted},
    field,
};
use crate::console::{Console, answer, entrance::Asked, markup::live, problem::Problem};

/// Entities of a page, and periods of one unless it is said how many.
const ENTITIES: i64 = 100;
const PERIODS: i64 = 12;
/// The most periods that can be asked for.
const MOST_PERIODS: i64 = 36;
/// Later than any period.
const NO_END: &str = "9999-99";

/// The page.
pub(crate) async fn page(
    Shared(console): Shared<Arc<Console>>,
    Fields(query): Fields<Query>,
    asked: Asked,
) -> Result<Response, Problem> {
    let until: Option<Period> = field(&query, "until").map(str::parse).transpose().map_err(input)?;
    let prefix = field(&query, "entity").unwrap_or_default().to_uppercase();
    let after: Option<Entity> = field(&query, "after").map(str::parse).transpose().map_err(input)?;
    let periods = match field(&query, "periods").map(str::parse::<i64>) {
        None => PERIODS,
        Some(Ok(number)) if (1..=MOST_PERIODS).contains(&number) => number,
        Some(Ok(_) | Err(_)) => return Err(Problem::input(format!("periods is a number up to {MOST_PERIODS}"))),
    };
    let wanted = Wanted {
        prefix: &prefix,
        after: after.as_ref().map_or("", Entity::as_str),
        until: until.as_ref().map_or(NO_END, Period::as_str),
        entities: ENTITIES,
        periods,
    };
    let close = cells::look(&console.pool, &wanted, &console.settings).await;
    let close = close.map_err(Problem::postgres(&console.settings))?;
    Ok(answer::page(&console, &asked, "Slices", &close, || {
        html! {
            h1 { "Slices" }
            (filter_form(&query))
            (live("close", &["jobs"], &asked.place, &html! { (table(&close)) (pages(&close, &query)) }))
            (legend(&console.settings))
        }
    }))
}

fn input(error: shared::slice::InvalidCode) -> Problem {
    Problem::input(error.to_string())
}

fn filter_form(query: &Query) -> Markup {
    html! {
        form class="filter" method="get" action="/slices" role="search" aria-label="Which slices" {
            label { "Entity begins with" input name="entity" value=[field(query, "entity")] autocomplete="off"; }
            label { "Until period" input name="until" value=[field(query, "until")] placeholder="2022-06" pattern="[0-9]{4}-[0-9]{2}" autocomplete="off"; }
            button { "Show" }
            a href="/slices" { "All" }
        }
    }
}

fn table(close: &Close) -> Markup {
    html! {
        @if close.entities.is_empty() {
            p { "No job of such an entity has been seen." }
        } @else {
            div class="wide" tabindex="0" role="region" aria-label="Entities and periods" {
                table class="heat" {
                    caption { "Entities and periods" }
                    thead {
                        tr {
                            th scope="col" { "entity" }
                            @for column in &close.periods { th scope="col" { (column.period) } }
                        }
                        tr {
                            th scope="row" { "loaded of " (close.counted) @if close.more_than_counted { "*" } }
                            @for column in &close.periods { td class="number" { (column.loaded) } }
                        }
                    }
                    tbody {
                        @for line in &close.entities {
                            tr {
                                th scope="row" { (line.entity) }
                                @for cell in &line.slices { td { (mark(&line.entity, cell)) } }
                            }
                        }
                    }
                }
            }
            @if close.more_than_counted {
                p class="note" { "* counted among the first " (close.counted) " entities; there are more." }
            }
        }
    }
}

fn mark(entity: &str, cell: &Cell) -> Markup {
    let place = format!("/slices/{}/{}", answer::encoded(entity), answer::encoded(&cell.period));
    let title = cell.title(entity);
    html! { a class=(format!("mark {}", cell.state.class())) href=(place) title=(title) aria-label=(format!("{}, {title}", cell.state.mark())) { (cell.state.mark()) } }
}

fn pages(close: &Close, query: &Query) -> Markup {
    let with = |more: &[(&str, &str)]| {
        let mut all: Query = query.clone();
        all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let pairs: Vec<String> = ["entity", "until", "periods", "after"]
            .iter()
            .filter_map(|name| field(&all, name).map(|value| format!("{name}={}", answer::encoded(value))))
            .collect();
        format!("/slices?{}", pairs.join("&"))
    };
    html! {
        p class="pages" {
            @if let Some(next) = &close.next { a href=(with(&[("after", next)])) { "Next entities" } }
            @if let Some(oldest) = close.periods.last() { a href=(with(&[("until", &oldest.period)])) { "Older periods" } }
            @if field(query, "until").is_some() { a href=(with(&[("until", "")])) { "Newest periods" } }
        }
    }
}

fn legend(settings: &Settings) -> Markup {
    html! {
        section aria-label="Legend" {
            h2 { "Legend" }
            dl class="legend" {
                @for state in State::ALL {
                    dt { span class=(format!("mark {}", state.class())) { (state.mark()) } }
                    dd {
                        (state.words())
                        @if state == State::OutOfBalance { " within AURA_NIL_TOLERANCE, which is " (settings.nil_tolerance.to_string()) }
                    }
                }
            }
        }
    }
}
