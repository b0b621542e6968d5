//! A world of its own for each test, on services that stand as long as it does.

pub(crate) use tests::{
    required_columns::csv,
    world::{job, with},
};

/// One test's services and folders.
pub(crate) type World = tests::world::World<tests::world::Steady>;
