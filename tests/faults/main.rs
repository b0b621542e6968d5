//! The guarantees of the contract's §9, each proved by breaking the real services under real
//! workers, on a stack of its own. After each, one checker holds everything against a model. A
//! test's name is the claim that it proves.

mod alerts;
mod alerts_slow;
mod chaos;
mod clocks;
mod cluster;
mod crashes;
mod crowds;
mod drain;
mod folders;
mod interleavings;
mod network;
mod outages;
mod queues;
mod replays;
mod rounds;
mod run;
mod standby;
mod suspects;
mod tampering;
mod timeouts;
