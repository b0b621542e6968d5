//! The statements that name the ledger's columns, made from the one list of them.

use std::sync::LazyLock;

use shared::file::columns::{AMOUNTS, ColumnKind, ERP_TEXTS, FileColumns, REQUIRED, row_columns};

/// Statements with which every connection begins.
pub(crate) static SESSION: LazyLock<String> = LazyLock::new(|| {
    let definitions = joined(row_columns(), ", ", |(name, kind)| format!("{name} {}", sql_type(kind)));
    include_str!("staging.sql").replace("{definitions}", &definitions)
});

/// The columns of a row, as a list.
pub(super) static ROW: LazyLock<String> = LazyLock::new(|| joined(row_columns(), ", ", |(name, _)| name.to_owned()));

/// Writes the rows whose keys are new.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| include_str!("staged/insert.sql").replace("{row}", &ROW));

/// Adds up the amounts of rows that have the same key.
pub(super) static SUM: LazyLock<String> = LazyLock::new(|| {
    include_str!("staged/sum.sql")
        .replace("{summed}", &joined(AMOUNTS, ", ", |name| format!("{name} = t.{name}")))
        .replace("{sums}", &joined(AMOUNTS, ", ", |name| format!("sum({name}) AS {name}")))
});

/// Finds sums that are too large for an amount.
pub(super) static OVERFLOWN: LazyLock<String> = LazyLock::new(|| {
    let overflown = joined(AMOUNTS, " OR ", |name| format!("abs({name}) >= 1e18"));
    include_str!("staged/overflown.sql").replace("{overflown}", &overflown)
});

/// The number of the first value that [`WrittenColumns::update_found`] writes.
const FOUND: usize = 8;

/// What becomes of the columns that Aura does not know, in a row that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExtraWrite {
    /// They stay, as the file has none that are kept.
    Keep,
    /// The file's are added.
    Add,
    /// They are the file's.
    Replace,
}

/// The columns that a job writes in rows that are there. One that the file lacks stays as it is, but in
/// `replace` it is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenColumns {
    names: Vec<&'static str>,
    extra: ExtraWrite,
}

impl WrittenColumns {
    /// Those of a file that is merged, or that replaces the slice.
    pub(super) fn of(columns: &FileColumns, replaces: bool) -> Self {
        let always = ERP_TEXTS.into_iter().chain(AMOUNTS).filter(|name| REQUIRED.contains(name));
        let optional = FileColumns::optional().filter(|name| replaces || columns.has(name));
        let extra = match (replaces, columns.keeps_extra) {
            (true, _) => ExtraWrite::Replace,
            (false, true) => ExtraWrite::Add,
            (false, false) => ExtraWrite::Keep,
        };
        Self { names: always.chain(optional).collect(), extra }
    }

    /// The columns that are compared as they are.
    pub(super) fn compared(&self) -> impl Iterator<Item = &'static str> {
        let extra = (self.extra == ExtraWrite::Replace).then_some("extra");
        self.names.iter().copied().chain(extra)
    }

    /// Whether the file's extra columns are added to those that are there.
    pub(super) fn adds_extra(&self) -> bool {
        self.extra == ExtraWrite::Add
    }

    /// The columns that are written.
    pub(super) fn written(&self) -> impl Iterator<Item = &'static str> {
        let extra = (self.extra != ExtraWrite::Keep).then_some("extra");
        self.names.iter().copied().chain(extra)
    }

    /// Writes given values into rows that were found there. The values of [`WrittenColumns::written`] follow those
    /// that every statement has.
    pub(super) fn update_found(&self) -> String {
        let arrays = self.written().enumerate().map(|(number, name)| {
            let kind = row_columns().find(|(column, _)| *column == name).map_or("text", |(_, kind)| sql_type(kind));
            format!("${}::{kind}[]", FOUND + number)
        });
        include_str!("reload/update.sql")
            .replace("{written}", &joined(self.written(), ", ", |name| format!("{name} = s.{name}")))
            .replace("{arrays}", &joined(arrays, ", ", |array| array))
            .replace("{names}", &joined(self.written(), ", ", str::to_owned))
    }

    /// Writes what differs of rows whose keys are there.
    pub(super) fn update(&self) -> String {
        let extra = match self.extra {
            ExtraWrite::Keep => None,
            ExtraWrite::Add => Some("coalesce(g.extra, '{}') || s.extra"),
            ExtraWrite::Replace => Some("s.extra"),
        };
        let named = self.names.iter().map(|name| (*name, format!("s.{name}")));
        let written: Vec<_> = named.chain(extra.map(|value| ("extra", value.to_owned()))).collect();
        include_str!("staged/update.sql")
            .replace("{written}", &joined(&written, ", ", |(name, value)| format!("{name} = {value}")))
            .replace("{before}", &joined(&written, ", ", |(name, _)| format!("g.{name}")))
            .replace("{after}", &joined(&written, ", ", |(_, value)| value.clone()))
    }
}

fn joined<T>(items: impl IntoIterator<Item = T>, between: &str, text: impl FnMut(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().join(between)
}

fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "text",
        ColumnKind::Amount => "numeric",
        ColumnKind::Line => "bigint",
        ColumnKind::Json => "jsonb",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_writes_what_the_file_has_and_a_replacement_everything() {
        let file = FileColumns { filled: vec!["account_name", "debit_period"], ..FileColumns::default() };
        let update = WrittenColumns::of(&file, false).update();
        assert!(update.contains("debit_period = s.debit_period, job_id"), "{update}");
        assert!(!update.contains("credit_period") && !update.contains("extra") && !update.contains('{'), "{update}");
        let update = WrittenColumns::of(&FileColumns { keeps_extra: true, ..file.clone() }, false).update();
        assert!(update.contains("extra = coalesce(g.extra, '{}') || s.extra, job_id"), "{update}");
        let found = WrittenColumns::of(&file, false).update_found();
        assert!(found.contains("debit_period = s.debit_period, job_id") && found.contains("$8::text[]"), "{found}");
        assert!(!found.contains('{') && found.contains("balance, debit_period)"), "{found}");
        let update = WrittenColumns::of(&FileColumns::default(), true).update();
        assert!(update.contains("credit_period = s.credit_period, extra = s.extra, job_id"), "{update}");
    }
}
