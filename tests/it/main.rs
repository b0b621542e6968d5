//! Everything that needs real services, in one binary. Each test has its own database, virtual host
//! and folders, starts the real programs, and speaks to them as the outside world does. A test's
//! name is the claim that it proves.

// What tests stand on.
mod audit;
mod authorized;
mod bench;
mod bodies;
mod broker;
mod cache;
mod process;
#[path = "../sources/reading.rs"]
mod reading;
mod stack;
mod store;
mod wait;
mod world;

// What they prove.
mod anchor;
mod any_erp;
mod archive;
mod arguments;
mod channels;
mod columns;
mod console;
mod console_jobs;
mod console_night;
mod console_slices;
mod console_sources;
mod controls;
mod crowd;
mod dead;
mod dead_many;
mod dead_strange;
mod drafts;
mod dry_runs;
mod exact;
mod examples;
mod followed;
mod garbage;
mod headline;
mod health;
mod history;
mod hostile_files;
mod hostile_messages;
mod identity;
mod leaks;
mod ledger;
mod limits;
mod lineage;
mod monitoring;
mod object_store;
mod on_call;
mod orders;
mod plans;
mod pooler;
mod publish;
mod publishers;
mod quarantine;
mod receipts;
mod reloads;
mod retention;
mod retry;
mod roles;
mod rows;
mod schema_versions;
mod schemas;
mod screens;
mod secrets;
mod sessions;
mod slices;
mod startup;
mod terminals;
mod tls;
mod traces;
mod trail;
mod verify;
mod warned;
