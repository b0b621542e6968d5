//! A job's run, the row of `ingestion_runs`: who claims it, whose it is, and how it ends. Every statement of the
//! worker on that table is here.

pub(crate) mod claim;
pub(crate) mod durable;
pub(crate) mod failure;
pub(crate) mod finish;
pub(crate) mod ownership;
mod row;
