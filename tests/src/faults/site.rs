//! A site: the world that fault tests break.

pub use crate::world::Proxies;
use crate::world::{Shaken, World};

/// A site.
pub type Site = World<Shaken>;
