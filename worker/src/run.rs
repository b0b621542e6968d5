//! A job's run, the row of `ingestion_runs`: who claims it, and how it ends.

pub(crate) mod claim;
pub(crate) mod finish;
