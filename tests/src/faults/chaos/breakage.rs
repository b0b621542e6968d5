//! What is broken in a cluster, and how.

use std::time::Duration;

use crate::{
    faults::machines::{MACHINES, Machines, Number},
    random::Random,
};

/// Which machine it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// That of PostgreSQL's primary.
    Leader,
    /// Any, perhaps that one.
    Any,
}

/// A server of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL, which Patroni starts again or leaves to another.
    Postgres,
    /// Patroni, without which PostgreSQL goes on for a while.
    Patroni,
    /// etcd.
    Etcd,
    /// RabbitMQ.
    RabbitMq,
    /// MongoDB.
    MongoDb,
}

/// Something that is broken in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// All that runs on a machine is killed.
    KillMachine(Aim),
    /// All that runs on a machine stands still.
    HaltMachine(Aim),
    /// Nothing reaches a machine or leaves it.
    CutMachine(Aim),
    /// The other two machines are out of a machine's reach, and clients are not.
    CutFromPeers(Aim),
    /// One other machine is out of its reach.
    CutFromOne(Aim),
    /// A server is killed.
    Kill(Server),
    /// A server stands still.
    Halt(Server),
    /// PostgreSQL's primary and its standby change places.
    SwitchOver,
}

const SERVERS: [Server; 5] = [Server::Postgres, Server::Patroni, Server::Etcd, Server::RabbitMq, Server::MongoDb];

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Patroni => "patroni",
            Self::Etcd => "etcd",
            Self::RabbitMq => "rabbitmq",
            Self::MongoDb => "mongodb",
        }
    }

    /// PostgreSQL and Patroni are met where the primary is.
    fn aim(self) -> Aim {
        match self {
            Self::Postgres | Self::Patroni => Aim::Leader,
            Self::Etcd | Self::RabbitMq | Self::MongoDb => Aim::Any,
        }
    }
}

impl Breakage {
    /// Draws one.
    pub(super) fn draw(random: &mut Random) -> Self {
        let aim = random.one_of(&[Aim::Leader, Aim::Any]);
        let server = random.one_of(&SERVERS);
        match random.between(0, 15) {
            0..3 => Self::KillMachine(aim),
            3..5 => Self::HaltMachine(aim),
            5..7 => Self::CutMachine(aim),
            7..9 => Self::CutFromPeers(aim),
            9 => Self::CutFromOne(aim),
            10..13 => Self::Kill(server),
            13..15 => Self::Halt(server),
            _ => Self::SwitchOver,
        }
    }

    /// Its name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KillMachine(Aim::Leader) => "primary's machine killed",
            Self::KillMachine(Aim::Any) => "machine killed",
            Self::HaltMachine(Aim::Leader) => "primary's machine halted",
            Self::HaltMachine(Aim::Any) => "machine halted",
            Self::CutMachine(Aim::Leader) => "primary's machine cut off",
            Self::CutMachine(Aim::Any) => "machine cut off",
            Self::CutFromPeers(Aim::Leader) => "primary's machine cut from peers",
            Self::CutFromPeers(Aim::Any) => "machine cut from peers",
            Self::CutFromOne(_) => "two machines cut apart",
            Self::Kill(Server::Postgres) => "primary killed",
            Self::Kill(Server::Patroni) => "primary's patroni killed",
            Self::Kill(Server::Etcd) => "etcd killed",
            Self::Kill(Server::RabbitMq) => "a rabbitmq killed",
            Self::Kill(Server::MongoDb) => "a mongodb killed",
            Self::Halt(Server::Postgres) => "primary halted",
            Self::Halt(Server::Patroni) => "primary's patroni halted",
            Self::Halt(Server::Etcd) => "etcd halted",
            Self::Halt(Server::RabbitMq) => "a rabbitmq halted",
            Self::Halt(Server::MongoDb) => "a mongodb halted",
            Self::SwitchOver => "switchover",
        }
    }

    /// Breaks it for a while, and returns once all is whole again.
    ///
    /// # Errors
    /// If it does not become whole.
    pub(super) async fn bring_about(self, machines: &Machines, place: usize, lasting: Duration) -> Result<(), String> {
        let pick = async |aim: Aim| match aim {
            Aim::Leader => machines.leader().await,
            Aim::Any => place % MACHINES + 1,
        };
        let other = |number: Number| (number + place / MACHINES % (MACHINES - 1)) % MACHINES + 1;
        match self {
            Self::KillMachine(aim) => machines.machine(pick(aim).await, &["kill"]).await,
            Self::HaltMachine(aim) => machines.machine(pick(aim).await, &["halt"]).await,
            Self::CutMachine(aim) => machines.machine(pick(aim).await, &["cut"]).await,
            Self::CutFromPeers(aim) => {
                let number = pick(aim).await;
                let peers: Vec<_> = (1..=MACHINES).filter(|peer| *peer != number).map(|n| n.to_string()).collect();
                let cut: Vec<_> = std::iter::once("cut").chain(peers.iter().map(String::as_str)).collect();
                machines.machine(number, &cut).await;
            }
            Self::CutFromOne(aim) => {
                let number = pick(aim).await;
                machines.machine(number, &["cut", &other(number).to_string()]).await;
            }
            Self::Kill(server) => machines.machine(pick(server.aim()).await, &["kill", server.name()]).await,
            Self::Halt(server) => machines.machine(pick(server.aim()).await, &["halt", server.name()]).await,
            Self::SwitchOver => machines.switch_over().await,
        }
        tokio::time::sleep(lasting).await;
        machines.become_whole().await
    }
}
