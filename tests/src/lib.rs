//! Sample trial balances, generated from a seed, so that the same seed gives the same bytes; and
//! [`world`], what each test has of services and folders, with a [`worker`] in it; and [`faults`],
//! what it takes to break a running system and to hold what is left against a model; and
//! [`object_server`], which holds files as an object store does, and [`catalogue`], which takes events as one of
//! lineage does.
//!
//! Nothing here uses Aura's code. Tests, demo and benchmark take their files from it, and what the
//! files hold is told beside them, so that what Aura makes of them can be checked against it.

pub mod account;
pub mod alertmanager;
pub mod amount;
pub mod audit;
pub mod bench;
pub mod broken;
pub mod broker;
pub mod browser;
pub mod cached;
pub mod catalogue;
pub mod checkout;
pub mod collector;
pub mod console;
pub mod digest;
pub mod faults;
pub mod hostile;
pub mod http;
pub mod log;
pub mod month_end;
pub mod object_server;
pub mod pgbouncer;
pub mod program;
pub mod prometheus;
pub mod random;
pub mod required_columns;
pub mod stack;
pub mod tls_front;
pub mod trial_balance;
pub mod wait;
pub mod worker;
pub mod world;
