//! What is measured: one scenario for each kind of work.

mod duplicates;
mod growth;
mod large;
mod latency;
mod month_end;
mod rivals;
mod scale;
mod small;
mod stages;
mod unchanged;

use std::{future::Future, pin::Pin};

use super::{Extent, figures::Figure};

type Running<'a> = Pin<Box<dyn Future<Output = Vec<Figure>> + 'a>>;

/// A kind of work that is measured.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub about: &'static str,
    /// Whether it is measured unless others are named.
    pub is_usual: bool,
    run: fn(&Extent) -> Running<'_>,
}

impl Scenario {
    /// Measures.
    pub async fn run(&self, extent: &Extent) -> Vec<Figure> {
        (self.run)(extent).await
    }
}

/// All of them, in the order in which they are measured.
pub const SCENARIOS: [Scenario; 10] = [
    Scenario {
        name: "small",
        about: "501 and 2,736 rows, publish to receipt, first load and reload",
        is_usual: true,
        run: |extent| Box::pin(small::run(extent)),
    },
    Scenario {
        name: "large",
        about: "one large file, first load and reload with 1 % changed",
        is_usual: true,
        run: |extent| Box::pin(large::run(extent)),
    },
    Scenario {
        name: "month-end",
        about: "a file for each entity, two workers, first load and reload with 1 % changed",
        is_usual: true,
        run: |extent| Box::pin(month_end::run(extent)),
    },
    Scenario {
        name: "unchanged",
        about: "100 files of 501 rows again: other bytes, the same figures",
        is_usual: true,
        run: |extent| Box::pin(unchanged::run(extent)),
    },
    Scenario {
        name: "duplicates",
        about: "100 files again with the same bytes, two workers",
        is_usual: true,
        run: |extent| Box::pin(duplicates::run(extent)),
    },
    Scenario {
        name: "latency",
        about: "a small file now and then while a month-end loads",
        is_usual: false,
        run: |extent| Box::pin(latency::run(extent)),
    },
    Scenario {
        name: "scale",
        about: "1, 2, 4 and 8 workers with files of 1, 100 and 2,736 rows",
        is_usual: false,
        run: |extent| Box::pin(scale::run(extent)),
    },
    Scenario {
        name: "growth",
        about: "a month-end into an empty ledger, and into one of years",
        is_usual: false,
        run: |extent| Box::pin(growth::run(extent)),
    },
    Scenario {
        name: "stages",
        about: "where the time of one job goes: processes, transactions, WAL, statements",
        is_usual: false,
        run: |extent| Box::pin(stages::run(extent)),
    },
    Scenario {
        name: "rivals",
        about: "dlt, pgloader, psql and a script load the same rows",
        is_usual: false,
        run: |extent| Box::pin(rivals::run(extent)),
    },
];
