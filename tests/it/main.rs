//! Everything that needs real services, in one binary. Each test has its own database, virtual host
//! and folders, starts the real programs, and speaks to them as the outside world does. A test's
//! name is the claim that it proves.

mod audit;
mod broker;
mod cache;
mod process;
mod stack;
mod store;
mod wait;
mod world;
