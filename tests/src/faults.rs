//! What fault tests and `deploy/chaos` stand on: services that may be broken, a world with workers on
//! them, a model of what must come of what was published, and the checker that compares.

pub mod book;
pub mod chaos;
pub mod checker;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod machines;
pub mod model;
pub mod parquet;
pub mod proxy;
pub mod services;
pub mod standby;
pub mod trail;

pub use crate::world::Proxies;
use crate::world::Shaken;

/// A world whose services may be broken.
pub type World = crate::world::World<Shaken>;
