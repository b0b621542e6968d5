//! What PostgreSQL says of a statement's plan.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a plan reads of tables that grow.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Tables that are read from their beginning, whatever is looked for.
    pub(super) scanned: BTreeSet<String>,
    /// Rows that were read, those that a filter left out included.
    pub(super) rows: i64,
}

impl Reads {
    /// Reads the JSON of EXPLAIN (ANALYZE).
    pub(super) fn of(explained: &Value, growing: &BTreeSet<String>) -> Self {
        let mut reads = Self::default();
        reads.add(&explained[0]["Plan"], growing);
        reads
    }

    fn add(&mut self, node: &Value, growing: &BTreeSet<String>) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let is_modified = kind == "ModifyTable";
        if let Some(table) = node["Relation Name"].as_str().filter(|table| growing.contains(*table) && !is_modified) {
            if kind == "Seq Scan" {
                self.scanned.insert(table.to_owned());
            }
            // Newer servers give averages with decimals.
            let number = |name: &str| node[name].as_f64().unwrap_or(0.0).ceil() as i64;
            let read = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
            let rows: i64 = read.iter().map(|name| number(name)).sum();
            self.rows += rows * number("Actual Loops");
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.add(child, growing);
        }
    }
}
