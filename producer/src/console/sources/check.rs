//! What the worker would make of a file that somebody brings along, as `check` tells it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{DefaultBodyLimit, Multipart, State, multipart::MultipartRejection},
    http::StatusCode,
    response::Response,
};
use maud::html;
use schemars::JsonSchema;
use serde::Serialize;
use shared::message::job::SourceName;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{folder, form, report, upload};
use crate::{
    check::{self, Args, Checked, Draft, Fit, Looked, Told, file::FileAt},
    console::{Console, answer, entrance::Asked, problem::Problem},
    errors::CommandError,
    sources,
};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(25);
/// Checks at a time: each takes a processor.
const CHECKS: usize = 2;
/// The largest file that is taken, whatever the workers take.
const MOST: u64 = 64 << 20;
/// What a form has around its file.
const AROUND: usize = 16 << 10;

/// The checks that may run.
pub(crate) struct Checks(Arc<Semaphore>);

impl Checks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CHECKS)))
    }
}

/// What the page tells.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SourceCheck")]
pub(in crate::console) struct Answer {
    /// What the file was called by whoever brought it.
    pub(super) file: String,
    /// How all profiles fit, the best first; empty if one was named.
    pub(super) fits: Vec<Fit>,
    /// Why no profile was taken, if so: a person decides.
    pub(super) undecided: Option<Undecided>,
    /// What the worker would make of it.
    pub(super) checked: Option<Checked>,
    /// Whether every row of every slice would load.
    pub(super) would_load: Option<bool>,
    /// A draft of a profile.
    pub(super) draft: Option<Draft>,
}

/// What a person has to decide.
#[derive(Serialize, JsonSchema)]
pub(in crate::console) struct Undecided {
    pub(super) message: String,
    pub(super) faults: Vec<String>,
}

impl Answer {
    fn new(file: String, looked: Looked) -> Self {
        let blank = Self { file, fits: looked.fits, undecided: None, checked: None, would_load: None, draft: None };
        match looked.told {
            Told::Checked(checked) => Self { would_load: Some(checked.is_sound()), checked: Some(*checked), ..blank },
            Told::Draft(draft) => Self { draft: Some(draft), ..blank },
            Told::Undecided(error) => {
                let undecided = Undecided { message: error.line(), faults: error.faults().to_vec() };
                Self { undecided: Some(undecided), ..blank }
            }
        }
    }
}

fn most(console: &Console) -> u64 {
    console.settings.max_file_bytes.min(MOST)
}

/// How much a form with a file may have.
pub(crate) fn body(console: &Console) -> DefaultBodyLimit {
    DefaultBodyLimit::max(usize::try_from(most(console)).unwrap_or(usize::MAX).saturating_add(AROUND))
}

/// Checks a file, or drafts a profile for it.
pub(crate) async fn check(
    State(console): State<Arc<Console>>,
    asked: Asked,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Problem> {
    let form = form.map_err(|refused| Problem::input(refused.body_text()))?;
    let busy = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "two files are being checked; try again in a while");
    let place = Arc::clone(&console.checks.0).try_acquire_owned().map_err(busy)?;
    let brought = upload::take(form, &asked, most(&console)).await?;
    let args = wanted(&brought)?;
    let file = FileAt::new(&brought.path).called(brought.label.clone(), Instant::now() + LIMIT);
    let settings = console.settings.clone();
    // What takes too long stops at what it reads next, and gives its place back then.
    let work = spawn_blocking(move || {
        let looked = check::examine(&args, &file, &settings);
        drop((brought.folder, place));
        (brought.label, looked)
    });
    let late = |_| {
        let message = format!("the check took more than {} s; aura-producer check takes its time", LIMIT.as_secs());
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
    };
    let (label, looked) =
        timeout(LIMIT, work).await.map_err(late)?.map_err(|error| CommandError::Output(error.into()))?;
    let answer = Answer::new(label, looked?);
    let title = format!("Check of {}", answer.file);
    Ok(answer::page(&console, &asked, &title, &answer, || {
        html! {
            h1 { (title) }
            (report::whole(&answer))
            (form_again(&console, &asked))
        }
    }))
}

fn form_again(console: &Console, asked: &Asked) -> maud::Markup {
    html! { (form(&asked.viewer, &sources::list(&folder(console)))) p { a href="/sources" { "All sources" } } }
}

/// What is asked of the file.
fn wanted(brought: &upload::Upload) -> Result<Args, Problem> {
    let field = |name: &str| brought.fields.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let input = |name: &str, reason: String| Problem::input(format!("{name}: {reason}"));
    let suggest = match field("what") {
        None | Some("check") => false,
        Some("suggest") => true,
        Some(_) => return Err(Problem::input("what is \"check\" or \"suggest\"")),
    };
    // A draft is made whatever profiles there are.
    let source = field("source").filter(|_| !suggest).map(str::parse::<SourceName>).transpose();
    let args = Args {
        source: source.map_err(|error| input("source", error.to_string()))?,
        entity: field("entity")
            .map(str::parse)
            .transpose()
            .map_err(|error: shared::slice::InvalidCode| input("entity", error.to_string()))?,
        period: field("period")
            .map(str::parse)
            .transpose()
            .map_err(|error: shared::slice::InvalidCode| input("period", error.to_string()))?,
        suggest,
        ..Args::default()
    };
    Ok(args)
}
