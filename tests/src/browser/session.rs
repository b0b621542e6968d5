//! A window of the browser, and what a person does in it and sees.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use fantoccini::{
    Client,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    error::CmdError,
    wd::{Locator, WebDriverCompatibleCommand},
};
use hyper::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::{
    checkout::checkout,
    wait::{SOON, until},
};

/// The key that moves the focus on.
pub const TAB: &str = "\u{e004}";
/// The keys that move the focus back.
pub const SHIFT_TAB: &str = "\u{e008}\u{e004}";
/// The key that activates a link or a button and sends a form.
pub const ENTER: &str = "\u{e007}";
/// The key that closes a dialog.
pub const ESCAPE: &str = "\u{e00c}";
/// The arrow that points up.
pub const UP: &str = "\u{e013}";
/// The arrow that points down.
pub const DOWN: &str = "\u{e015}";

/// Shift, Control, Alt and Meta.
const MODIFIERS: [char; 4] = ['\u{e008}', '\u{e009}', '\u{e00a}', '\u{e03d}'];

const SHOWN: &str = "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText).join('\\n')";

const FOCUSED: &str = r"
    const it = document.activeElement;
    if (!it || it === document.body) return '';
    const name = it.getAttribute('aria-label') || it.labels?.[0]?.innerText || it.innerText || it.value || '';
    return (it.localName + (it.id && '#' + it.id) + ' ' + name.trim().replace(/\s+/g, ' ')).trim();";

const AXE: &str = r"
    const done = arguments[0];
    const told = node => [...node.any, ...node.all, ...node.none].map(check => check.message).join('; ');
    const line = rule => `${rule.id} (${rule.impact}): ${rule.help}: `
        + rule.nodes.map(node => `${node.target.join(' ')} [${told(node)}]`).join(', ');
    axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
        .then(found => done({lines: found.violations.map(line)}), error => done({error: String(error)}));";

/// A window of a browser.
#[derive(Debug)]
pub struct Session {
    client: Client,
}

impl Session {
    pub(super) fn of(client: Client) -> Self {
        Self { client }
    }

    /// The WebDriver client, for what has no function here.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Panics
    /// If it cannot be reached.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url} does not open: {error}"));
    }

    /// Waits for an element.
    pub async fn element(&self, css: &str) -> Element {
        let look = async || self.client.find(Locator::Css(css)).await.ok();
        until(&format!("the page has {css:?}"), SOON, look).await
    }

    /// Clicks an element, as soon as it is there and nothing covers it.
    ///
    /// # Panics
    /// If it takes no click by then.
    pub async fn click(&self, css: &str) {
        until_done(&format!("{css:?} takes a click"), async || self.element(css).await.click().await).await;
    }

    /// Types a text into a field, in place of what is there.
    ///
    /// # Panics
    /// If it takes none by then.
    pub async fn fill(&self, css: &str, text: &str) {
        until_done(&format!("{css:?} takes a text"), async || {
            let field = self.element(css).await;
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// What elements show, a line for each; empty if there are none.
    ///
    /// # Panics
    /// If the selector is not CSS.
    pub async fn text(&self, css: &str) -> String {
        self.shown(css).await.expect("a page answers")
    }

    async fn shown(&self, css: &str) -> Result<String, CmdError> {
        let shown = self.client.execute(SHOWN, vec![css.into()]).await?;
        Ok(shown.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until elements show this text, or have it among other text.
    ///
    /// # Panics
    /// If they do not by then, with what they show instead.
    pub async fn until_text(&self, css: &str, text: &str) {
        // No page answers while it makes way for the next.
        until_done(&format!("{css:?} shows {text:?}"), async || match self.shown(css).await {
            Ok(shown) if shown.contains(text) => Ok(()),
            shown => Err(shown),
        })
        .await;
    }

    /// Runs the body of a function in the page and returns what it returns.
    ///
    /// # Panics
    /// If it throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap_or_else(|error| panic!("a script failed: {error}"))
    }

    /// Writes what is seen of the page to a PNG file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub async fn screenshot(&self, path: &Path) {
        let image = self.client.screenshot().await.expect("a page can be drawn");
        std::fs::write(path, image).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
    }

    /// Presses keys, one after the other; Shift and its like stay down until the last is up.
    ///
    /// # Panics
    /// If the page has an open dialog of JavaScript.
    pub async fn keys(&self, keys: &str) {
        let (mut actions, mut held) = (KeyActions::new("keyboard".to_owned()), Vec::new());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value });
            if MODIFIERS.contains(&value) {
                held.push(value);
            } else {
                actions = actions.then(KeyAction::Up { value });
            }
        }
        for value in held {
            actions = actions.then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.expect("a page takes keys");
    }

    /// The element that has the focus, as `button#save Save`: its kind, id and name; empty if none has it.
    pub async fn focused(&self) -> String {
        self.run(FOCUSED, Vec::new()).await.as_str().unwrap_or_default().to_owned()
    }

    /// Presses Tab, from where the focus is, until it leaves the page, comes around or has moved so often; returns
    /// what had it.
    ///
    /// # Panics
    /// If the page has an open dialog of JavaScript.
    pub async fn tab_order(&self, most: usize) -> Vec<String> {
        let (mut order, mut first) = (Vec::new(), None);
        while order.len() < most {
            self.keys(TAB).await;
            let at = self.client.active_element().await.expect("a page answers").element_id();
            let focused = self.focused().await;
            if focused.is_empty() || *first.get_or_insert_with(|| at.clone()) == at && !order.is_empty() {
                break;
            }
            order.push(focused);
        }
        order
    }

    /// What axe-core finds wrong with the page: a line for each rule, with where and why.
    ///
    /// # Panics
    /// If axe-core is not there, or fails.
    pub async fn axe(&self) -> Vec<String> {
        let path = std::env::var_os("AURA_TEST_AXE")
            .map_or_else(|| checkout().join(".local/assets-tests/axe.min.js"), PathBuf::from);
        let source = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("{} is not there: run 'deploy/assets --tests'", path.display()));
        self.run(&source, Vec::new()).await;
        let found = self.client.execute_async(AXE, Vec::new()).await.expect("axe-core ends");
        let lines = found["lines"].as_array().unwrap_or_else(|| panic!("axe-core failed: {}", found["error"]));
        lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The errors on the browser's console since this was last asked: uncaught exceptions, answers of 400 and above,
    /// and what a content security policy has blocked.
    ///
    /// # Panics
    /// If the browser has ended.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = self.issue("se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.filter_map(|entry| entry["message"].as_str()).map(str::to_owned).collect()
    }

    /// Has Chromium carry out a command of the DevTools protocol.
    ///
    /// # Panics
    /// If it refuses.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.issue("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    async fn issue(&self, path: &'static str, body: Value) -> Value {
        let issued = self.client.issue_cmd(Extension { path, body }).await;
        issued.unwrap_or_else(|error| panic!("{path} failed: {error}"))
    }

    /// Closes the window, before its browser goes.
    ///
    /// # Panics
    /// If it has ended.
    pub async fn close(self) {
        self.client.close().await.expect("a window closes");
    }
}

/// A command of ChromeDriver's that the WebDriver standard does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Waits until an attempt succeeds; says how the last one failed, if none does.
async fn until_done<T, E: std::fmt::Debug>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    until(what, 2 * SOON, async || {
        let done = attempt().await;
        done.map_err(|error| assert!(began.elapsed() < SOON, "waited {} s until {what}: {error:?}", SOON.as_secs()))
            .ok()
    })
    .await
}
