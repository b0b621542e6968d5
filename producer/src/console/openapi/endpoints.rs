//! Every endpoint of the console: what it takes, what it answers, and who may ask.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    cancel::Cancelled,
    console::{dead, jobs, people::Role, slices, sources},
    dead::operation::Seen,
    now::Now,
    period::{Changed, Locks},
    sources::List,
    status::batch::{Batches, Standing},
};

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

type Made = fn(&mut SchemaGenerator) -> Schema;

/// What is answered.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A page, or its value as JSON.
    Page(Made),
    /// What an act did; a browser is sent on.
    Done(Made),
    /// That an act has begun; a browser is sent on.
    Begun(Made),
    /// A file of this type.
    Bytes(&'static str),
    /// A text of this type.
    Text(&'static str),
    /// Whoever asks is sent on.
    Sent,
}

/// A field of a query or a form.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) what: &'static str,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Form {
    None,
    Fields(&'static [Field]),
    File(&'static [Field]),
}

/// An endpoint.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Who may ask at least; none: anybody.
    pub(super) role: Option<Role>,
    pub(super) query: &'static [Field],
    pub(super) form: Form,
    pub(super) shape: Shape,
}

const fn optional(name: &'static str, what: &'static str) -> Field {
    Field { name, required: false, what }
}

const fn required(name: &'static str, what: &'static str) -> Field {
    Field { name, required: true, what }
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const CSRF: Field = optional("csrf", "The token of the session's forms; needed with a cookie.");
const AFTER: Field = optional("after", "The place behind which the page begins: next of the page before.");
const BEFORE: Field = optional("before", "The place before which the page begins: next of the page before.");
const LETTERS: [Field; 9] = [
    optional("id", "A job's identity."),
    optional("group", "A group of letters of one cause."),
    optional("entity", "The entity."),
    optional("period", "The period."),
    optional("batch", "The batch."),
    optional("code", "The error code."),
    optional("source", "The mapping profile."),
    optional("older_than", "Died longer ago than this, as 30d."),
    optional("newer_than", "Died more recently than this, as 2h."),
];

/// The fields that select letters, and others.
const fn and<const N: usize, const ALL: usize>(those: [Field; N]) -> [Field; ALL] {
    let mut all = [CSRF; ALL];
    let mut place = 0;
    while place < ALL {
        all[place] = if place < LETTERS.len() { LETTERS[place] } else { those[place - LETTERS.len()] };
        place += 1;
    }
    all
}

const ALL: Field = optional("all", "1: every letter; needed if none of the others selects.");
const LISTED: [Field; 10] = and([AFTER]);
const TRIED: [Field; 14] = and([
    CSRF,
    ALL,
    optional("as_new", "1: as new jobs, exported now."),
    optional("new_source", "The mapping profile of new jobs."),
    optional("file", "The file of the one job that is selected."),
]);
const REPLAYED: [Field; 16] = and([
    CSRF,
    ALL,
    optional("canary", "1: one of each cause first, and the others once that has succeeded."),
    optional("rate", "How fast, as 5/s or 30/m."),
    optional("as_new", "1: as new jobs, exported now."),
    optional("new_source", "The mapping profile of new jobs."),
    optional("file", "The file of the one job that is selected."),
]);
const DISCARDED: [Field; 12] = and([CSRF, ALL, required("reason", "Why, for the audit trail.")]);

const fn get(path: &'static str, summary: &'static str, shape: Shape) -> Endpoint {
    Endpoint { method: Method::Get, path, summary, role: Some(Role::Viewer), query: &[], form: Form::None, shape }
}

const fn post(path: &'static str, summary: &'static str, role: Role, form: Form, shape: Shape) -> Endpoint {
    Endpoint { method: Method::Post, path, summary, role: Some(role), query: &[], form, shape }
}

const fn public(path: &'static str, summary: &'static str, shape: Shape) -> Endpoint {
    Endpoint { role: None, ..get(path, summary, shape) }
}

const LOCK: &[Field] = &[
    CSRF,
    required("period", "The period, YYYY-MM."),
    optional("entity", "The entity; otherwise all."),
    required("reason", "Why, for the audit trail."),
];

/// All of them.
pub(super) const ENDPOINTS: [Endpoint; 38] = [
    get("/", "What runs, what waits, what is dead, and what stands still and why", Shape::Page(of::<Now>)),
    Endpoint {
        query: &[
            optional("status", "Jobs of this status."),
            optional("entity", "Jobs of this entity."),
            optional("period", "Jobs of this period."),
            optional("batch", "Jobs of this batch."),
            BEFORE,
        ],
        ..get("/jobs", "Jobs, the newest first", Shape::Page(of::<jobs::list::Jobs>))
    },
    get("/jobs/{id}", "One job, and its whole life", Shape::Page(of::<jobs::one::Job>)),
    Endpoint { query: &[BEFORE], ..get("/batches", "Batches, the newest first", Shape::Page(of::<Batches>)) },
    get("/batches/{id}", "One batch, and what is still missing of it", Shape::Page(of::<Standing>)),
    post(
        "/batches/{id}/cancel",
        "Cancels a batch: none of its jobs loads any more",
        Role::Operator,
        Form::Fields(&[CSRF, required("reason", "Why, for the audit trail.")]),
        Shape::Done(of::<Cancelled>),
    ),
    Endpoint {
        query: &[
            optional("entity", "Entities that begin so."),
            optional("until", "The newest period, YYYY-MM."),
            optional("periods", "How many periods, at most 36."),
            AFTER,
        ],
        ..get("/slices", "A close: how each slice stands", Shape::Page(of::<slices::cells::Close>))
    },
    Endpoint {
        query: &[
            optional("as_of", "A moment, RFC 3339: the slice as it stood then."),
            optional("account", "Changes of this account."),
            optional("after_company", "With after_account: accounts behind this one."),
            optional("after_account", "See after_company."),
            optional("changes_company", "With changes_account and changes_job: changes behind this one."),
            optional("changes_account", "See changes_company."),
            optional("changes_job", "See changes_company."),
        ],
        ..get(
            "/slices/{entity}/{period}",
            "One slice: its figures, its jobs, its changes, and its accounts",
            Shape::Page(of::<slices::one::One>),
        )
    },
    get(
        "/slices/{entity}/{period}/verify",
        "Compares what the stores hold of a slice",
        Shape::Page(of::<slices::verified::Verified>),
    ),
    get("/slices/{entity}/{period}/accounts.csv", "The accounts of a slice", Shape::Bytes("text/csv")),
    get("/slices/{entity}/{period}/changes.csv", "The changes of a slice", Shape::Bytes("text/csv")),
    get(
        "/slices/{entity}/{period}/accounts.parquet",
        "The cached file of a slice",
        Shape::Bytes("application/vnd.apache.parquet"),
    ),
    Endpoint {
        query: &LISTED,
        ..get("/dead", "Dead letters, by cause and one by one", Shape::Page(of::<dead::Letters>))
    },
    get("/dead/letters/{job}", "The dead letters of a job", Shape::Page(of::<dead::letter::Letters>)),
    get("/dead/operations", "Replays, discards and dry runs", Shape::Page(of::<dead::operations::Operations>)),
    get(
        "/dead/operations/{operation}",
        "One of them, and how far it is",
        Shape::Page(of::<dead::operations::Operation>),
    ),
    post(
        "/dead/operations/{operation}/{wanted}",
        "Asks one to pause, resume or cancel",
        Role::Operator,
        Form::Fields(&[CSRF]),
        Shape::Done(of::<Option<Seen>>),
    ),
    post(
        "/dead/dry-run",
        "Tries letters without doing anything",
        Role::Operator,
        Form::Fields(&TRIED),
        Shape::Begun(of::<dead::act::Begun>),
    ),
    post(
        "/dead/replay",
        "Replays letters",
        Role::Operator,
        Form::Fields(&REPLAYED),
        Shape::Begun(of::<dead::act::Begun>),
    ),
    post(
        "/dead/discard",
        "Gives letters up",
        Role::Operator,
        Form::Fields(&DISCARDED),
        Shape::Begun(of::<dead::act::Begun>),
    ),
    post(
        "/dead/write-down",
        "Writes down letters that are only in the queue",
        Role::Operator,
        Form::Fields(&[CSRF]),
        Shape::Done(of::<dead::act::Found>),
    ),
    get("/periods", "The locked periods", Shape::Page(of::<Locks>)),
    post("/periods/lock", "Closes a period", Role::Controller, Form::Fields(LOCK), Shape::Done(of::<Changed>)),
    post("/periods/unlock", "Opens a period", Role::Controller, Form::Fields(LOCK), Shape::Done(of::<Changed>)),
    get("/sources", "The mapping profiles, valid or not", Shape::Page(of::<List>)),
    get("/sources/{name}", "One profile, as it is understood", Shape::Page(of::<sources::One>)),
    get("/sources/check", "The profile that is called check", Shape::Page(of::<sources::One>)),
    post(
        "/sources/check",
        "Tells what the worker would make of a file, or drafts a profile for it; nothing is kept",
        Role::Viewer,
        Form::File(&[
            optional("csrf", "The token of the session's forms; needed with a cookie, and then the first field."),
            optional("source", "The mapping profile; otherwise the one that fits best."),
            optional("entity", "This entity only; needed if the profile takes it from the job."),
            optional("period", "This period only; needed if the profile takes it from the job."),
            optional("what", "check, or suggest for a draft of a profile."),
            required("file", "The file, at most 64 MiB or what AURA_MAX_FILE_BYTES allows."),
        ]),
        Shape::Page(of::<sources::check::Answer>),
    ),
    get("/openapi.json", "This document", Shape::Text("application/json")),
    get("/events", "The names of what has changed, as server-sent events", Shape::Text("text/event-stream")),
    Endpoint {
        query: &[optional("next", "Where to go afterwards.")],
        ..public("/sign-in", "The form by which people sign in", Shape::Text("text/html"))
    },
    Endpoint {
        method: Method::Post,
        form: Form::Fields(&[required("token", "The token."), optional("next", "Where to go afterwards.")]),
        ..public("/sign-in", "Begins a session: sets its cookie", Shape::Sent)
    },
    post("/sign-out", "Ends a session", Role::Viewer, Form::Fields(&[CSRF]), Shape::Sent),
    public("/healthz", "Whether the console serves", Shape::Text("text/plain")),
    public("/assets/console.css", "The style of the pages", Shape::Text("text/css")),
    public("/assets/icon.svg", "The icon", Shape::Text("image/svg+xml")),
    public("/assets/htmx.js", "A script of the pages", Shape::Text("text/javascript")),
    public("/assets/sse.js", "A script of the pages", Shape::Text("text/javascript")),
];
