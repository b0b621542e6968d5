//! A RabbitMQ cluster of three nodes on this machine. Clients reach it through proxies that pass over
//! nodes that are gone, as a load balancer does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{
    proxy::Proxy,
    services::{self, Service, Services},
};
use crate::{checkout::checkout, wait::until};

/// How long a queue may be without a leader, and a node without its part of it.
const LIMIT: Duration = Duration::from_secs(60);

/// The nodes' folders, each that of a stack of `deploy/local` of which only RabbitMQ runs.
#[derive(Debug)]
struct Nodes([PathBuf; 3]);

/// Stops the nodes when they go; their data and logs stay after a failure.
impl Drop for Nodes {
    fn drop(&mut self) {
        let command = if std::thread::panicking() { "down" } else { "reset" };
        let stopping = self.0.each_ref().map(|directory| {
            let mut local = Command::new(checkout().join("deploy/local"));
            local.arg(command).env("AURA_LOCAL_DIR", directory);
            local.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        });
        for (directory, stopping) in self.0.iter().zip(stopping) {
            if !stopping.and_then(|mut local| local.wait()).is_ok_and(|status| status.success()) {
                eprintln!("the node of {} may still run", directory.display());
            }
        }
    }
}

/// What a node says of itself.
#[derive(Debug)]
struct Told {
    name: String,
    amqp: Url,
    management: Url,
}

/// A cluster. Its nodes end with it.
#[derive(Debug)]
pub struct Cluster {
    services: Services,
    names: [String; 3],
    _relays: [Proxy; 2],
    nodes: Nodes,
}

/// A queue, as the cluster has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Queue {
    /// The node that leads it.
    pub leader: String,
    /// Nodes that have a part of it.
    pub members: usize,
    /// Those of them that are there.
    pub online: usize,
}

async fn tell(directory: &Path) -> Told {
    let status = services::local(directory, None, &["status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).expect("status prints JSON");
    let all = status["services"].as_array().into_iter().flatten();
    let node = all.into_iter().find(|service| service["name"] == "rabbitmq").cloned().unwrap_or_default();
    let url = |text: String| Url::parse(&text).expect("a URL");
    let (port, management) = (&node["port"], &node["management_port"]);
    Told {
        name: node["node_name"].as_str().expect("a server of this machine").to_owned(),
        amqp: url(format!("amqp://aura:aura@127.0.0.1:{port}/%2f")),
        management: url(format!("http://aura:aura@127.0.0.1:{management}")),
    }
}

impl Cluster {
    /// A new cluster beside a stack, whose other services it is used with.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn up(beside: &Services) -> Self {
        let nodes = Nodes(["1", "2", "3"].map(|name| beside.directory().join("cluster").join(name)));
        let [first, second, third] = nodes.0.each_ref().map(PathBuf::as_path);
        let local = services::local;
        // A run that was ended may have left nodes.
        tokio::join!(local(first, None, &["reset"]), local(second, None, &["reset"]), local(third, None, &["reset"]));
        let up = ["up", "rabbitmq"];
        local(first, None, &up).await;
        tokio::join!(local(second, Some(first), &up), local(third, Some(first), &up));
        let told = [tell(first).await, tell(second).await, tell(third).await];
        let names = told.each_ref().map(|node| node.name.clone());
        let (to_amqp, amqp) = Proxy::before_all(&told.each_ref().map(|node| node.amqp.clone())).await;
        let (to_management, management) = Proxy::before_all(&told.each_ref().map(|node| node.management.clone())).await;
        let services = beside.with_broker(amqp, management);
        Self { services, names, _relays: [to_amqp, to_management], nodes }
    }

    /// The services, with this cluster for the broker.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// What the nodes that are there say of a queue; none if they do not answer, or nobody leads it.
    pub async fn queue(&self, vhost: &str, queue: &str) -> Option<Queue> {
        let path = format!("queues/{vhost}/{queue}");
        let told = self.services.manage(Method::GET, &path, &Value::Null).await?;
        let number = |name: &str| told[name].as_array().map_or(0, Vec::len);
        let leader = told["leader"].as_str().filter(|name| !name.is_empty())?.to_owned();
        Some(Queue { leader, members: number("members"), online: number("online") })
    }

    /// Kills the node that leads a queue, and returns its name once another leads it.
    ///
    /// # Panics
    /// If nobody takes over.
    pub async fn kill_leader(&self, vhost: &str, queue: &str) -> String {
        let leader = until("a node leads the queue", LIMIT, async || self.queue(vhost, queue).await).await.leader;
        services::kill(self.node(&leader), Service::RabbitMq).await;
        until("another node leads the queue", LIMIT, async || {
            self.queue(vhost, queue).await.filter(|now| now.leader != leader)
        })
        .await;
        leader
    }

    /// Kills the node that a queue of any type is on, or that leads it.
    ///
    /// # Panics
    /// If no node has it.
    pub async fn kill_home(&self, vhost: &str, queue: &str) {
        let path = format!("queues/{vhost}/{queue}");
        let home = until("a node has the queue", LIMIT, async || {
            let told = self.services.manage(Method::GET, &path, &Value::Null).await?;
            told["leader"].as_str().or(told["node"].as_str()).map(str::to_owned)
        });
        services::kill(self.node(&home.await), Service::RabbitMq).await;
    }

    /// Starts a node again, and returns once it has its part of every queue.
    ///
    /// # Panics
    /// If it does not come back.
    pub async fn start(&self, name: &str, vhost: &str, queues: &[&str]) {
        services::local(self.node(name), None, &["up", "rabbitmq"]).await;
        for queue in queues {
            until("the node is back", LIMIT, async || {
                self.queue(vhost, queue).await.filter(|now| now.online == self.names.len())
            })
            .await;
        }
    }

    fn node(&self, name: &str) -> &Path {
        let place = self.names.iter().position(|one| one == name).expect("a node of this cluster");
        &self.nodes.0[place]
    }
}
