//! RabbitMQ as an export job, a finance system and an engineer meet it.

pub(crate) use tests::broker::{Broker, DeadLetter, headers};
