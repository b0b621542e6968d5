//! RabbitMQ: connections that are guarded, publishing with confirms, the topology, and the retry schedule.

pub mod amqp;
pub mod publisher;
pub mod retry;
pub mod topology;
