//! Every SQL statement of the programs, found in their sources.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;
use shared::file::columns::{ColumnKind, row_columns};

use crate::stack::checkout;

/// What a program fills in itself. Of the columns that a merge writes, each job has its own; they change no plan.
static FILLED_IN: LazyLock<[(&str, String); 15]> = LazyLock::new(|| {
    let list = |text: fn(&str, ColumnKind) -> String| -> String {
        row_columns().map(|(name, kind)| text(name, kind)).collect::<Vec<_>>().join(", ")
    };
    let sql_type = |name: &str, kind| match kind {
        ColumnKind::Text => format!("{name} text"),
        ColumnKind::Amount => format!("{name} numeric"),
        ColumnKind::Line => format!("{name} bigint"),
        ColumnKind::Json => format!("{name} jsonb"),
    };
    [
        ("{columns}", "account.*".to_owned()),
        ("{all}", "*".to_owned()),
        ("'{}', '{}'", "'aura.session', 'on'".to_owned()),
        ("'{entity}'", "$1".to_owned()),
        ("'{period}'", "$2".to_owned()),
        ("{row}", list(|name, _| name.to_owned())),
        ("{definitions}", list(sql_type)),
        ("{written}", "balance = s.balance, department = s.department, extra = s.extra".to_owned()),
        ("{arrays}", "$8::numeric[], $9::text[], $10::jsonb[]".to_owned()),
        ("{names}", "balance, department, extra".to_owned()),
        ("{before}", "g.balance, g.department, g.extra".to_owned()),
        ("{after}", "s.balance, s.department, s.extra".to_owned()),
        ("{summed}", "balance = t.balance".to_owned()),
        ("{sums}", "sum(balance) AS balance".to_owned()),
        ("{overflown}", "abs(balance) >= 1e18".to_owned()),
    ]
});

/// A statement as it can be prepared.
pub(super) struct Statement {
    /// Its file below the workspace, and the line if that is a Rust file.
    pub(super) place: String,
    pub(super) sql: String,
}

/// What the programs send, apart from what sets a session up.
#[derive(Default)]
pub(super) struct Statements {
    pub(super) list: Vec<Statement>,
    /// Statements that no parameter can be given to; the connection needs them to prepare the others.
    pub(super) session: Vec<String>,
}

/// Reads the sources of the crates whose programs ask PostgreSQL.
pub(super) fn statements() -> Statements {
    let mut found = Statements::default();
    for source in ["shared/src", "worker/src", "producer/src"] {
        for path in files(&checkout().join(source)) {
            let text = fs::read_to_string(&path).expect("a source can be read");
            let place = path.strip_prefix(checkout()).expect("below the workspace").display().to_string();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("sql") => found.take(place, &text),
                Some("rs") => found.take_literals(&place, &text),
                _ => {}
            }
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

impl Statements {
    /// Takes the string literals of a Rust file that begin as a statement does, up to its tests.
    fn take_literals(&mut self, place: &str, text: &str) {
        static LITERAL: LazyLock<Regex> = LazyLock::new(|| {
            let verbs = "SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|MERGE|TRUNCATE|DECLARE";
            Regex::new(&format!(r#"(?s)"((?:{verbs}) (?:[^"\\]|\\.)*)""#)).expect("an expression")
        });
        static LINE_END: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\\n\s*").expect("an expression"));
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for found in LITERAL.captures_iter(text) {
            let literal = found.get(1).expect("a group");
            let line = text[..literal.start()].lines().count();
            self.take(format!("{place}:{line}"), &LINE_END.replace_all(literal.as_str(), ""));
        }
    }

    fn take(&mut self, place: String, text: &str) {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let mut sql = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        for (name, value) in FILLED_IN.iter() {
            sql = sql.replace(name, value);
        }
        if sql.starts_with("SET ") {
            self.session.push(sql);
            return;
        }
        if let Some(copied) = sql.strip_prefix("COPY") {
            match copied.trim_start().strip_prefix('(').and_then(|query| query.rsplit_once(") TO STDOUT")) {
                Some((query, _)) => sql = query.to_owned(),
                // What is copied in is looked up nowhere.
                None if copied.contains(" FROM STDIN") => return,
                None => panic!("{place}: this COPY is not understood here"),
            }
        }
        self.list.push(Statement { place, sql });
    }
}
