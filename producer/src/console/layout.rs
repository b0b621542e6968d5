//! What every page has around its own part.

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::entrance::Viewer;

/// The pages of the navigation.
const PAGES: [(&str, &str); 7] = [
    ("/", "Now"),
    ("/jobs", "Jobs"),
    ("/batches", "Batches"),
    ("/slices", "Slices"),
    ("/dead", "Dead letters"),
    ("/periods", "Periods"),
    ("/sources", "Sources"),
];
/// What htmx must not do under the policy of the pages.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"historyCacheSize":0,"selfRequestsOnly":true}"#;

/// The scripts that keep pages live, as deploy/assets puts them there.
pub(crate) struct Scripts {
    folder: PathBuf,
    pub(crate) htmx: Option<Vec<u8>>,
    pub(crate) sse: Option<Vec<u8>>,
}

impl Scripts {
    /// Reads the scripts, if they are there.
    pub(crate) fn open(folder: &Path) -> Self {
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        Self { folder: folder.to_owned(), htmx: read("htmx.min.js"), sse: read("sse.js") }
    }

    /// What to say if they are not.
    pub(crate) fn missing(&self) -> Option<String> {
        let is_whole = self.htmx.is_some() && self.sse.is_some();
        (!is_whole).then(|| {
            format!(
                "{} has no htmx.min.js and sse.js, so pages show what was when they were opened; deploy/assets fetches \
                 both, and AURA_CONSOLE_ASSETS says where they are",
                self.folder.display()
            )
        })
    }
}

fn head(title: &str, scripts: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " - Aura" }
            link rel="stylesheet" href="/assets/console.css";
            link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
            @if scripts {
                meta name="htmx-config" content=(PreEscaped(HTMX.replace('"', "&quot;")));
                script src="/assets/htmx.js" defer {}
                script src="/assets/sse.js" defer {}
            }
        }
    }
}

/// A page with navigation.
pub(crate) fn page(scripts: &Scripts, viewer: &Viewer, title: &str, place: &str, body: &Markup) -> Markup {
    let live = scripts.missing().is_none();
    let path = place.split('?').next().unwrap_or_default();
    let is_here = |page: &str| path == page || page != "/" && path.starts_with(&format!("{page}/"));
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, live))
            body hx-ext=[live.then_some("sse")] sse-connect=[live.then_some("/events")] {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    strong { "Aura" }
                    nav aria-label="Pages" {
                        @for (page, name) in PAGES {
                            a href=(page) aria-current=[is_here(page).then_some("page")] { (name) }
                        }
                    }
                    (who(viewer))
                }
                main id="main" tabindex="-1" { (body) }
            }
        }
    }
}

/// Who is signed in, and the way out.
fn who(viewer: &Viewer) -> Markup {
    html! {
        @match &viewer.person {
            Some(person) => {
                form class="who" method="post" action="/sign-out" {
                    input type="hidden" name="csrf" value=(viewer.csrf());
                    span { (person.name) " (" (person.role.as_str()) ")" }
                    button { "Sign out" }
                }
            }
            None => span class="who" { "reads only" }
        }
    }
}

/// A page for whoever may see no other.
pub(crate) fn bare(viewer: &Viewer, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, false))
            body {
                header {
                    strong { "Aura" }
                    @if viewer.person.is_some() { (who(viewer)) }
                }
                main id="main" tabindex="-1" { (body) }
            }
        }
    }
}
