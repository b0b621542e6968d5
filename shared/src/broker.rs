//! RabbitMQ: connections that are guarded, publishing with confirms, and the topology.

pub mod amqp;
pub mod topology;
