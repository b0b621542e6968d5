//! Who may have what loaded, where a file says so.

use std::time::Duration;

use lapin::{BasicProperties, types::AMQPValue};
use serde_json::{Value, json};
use tests::wait::until;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;
use uuid::Uuid;

use crate::{
    audit::text,
    broker::{Broker, headers},
    process::{Worker, command, run},
    world::{World, csv, job, with},
};

/// A world whose workers obey a file of publishers, and one of its publishers.
struct Restricted {
    world: World,
    client: Broker,
    url: String,
    user: String,
    path: String,
}

impl Restricted {
    /// `USER` in the file stands for the publisher's name, `IN` for the input root.
    async fn new(file: &str) -> Self {
        let world = World::new().await;
        let (client, url, user) = world.other_user().await;
        let path = world.path().join("publishers.toml").display().to_string();
        let file = file.replace("USER", &user).replace("IN", world.setting("AURA_INPUT_ROOTS"));
        std::fs::write(&path, file).expect("a file");
        Self { world, client, url, user, path }
    }

    fn settings(&self) -> [(&str, &str); 1] {
        [("AURA_PUBLISHERS_PATH", &self.path)]
    }

    /// Publishes as the publisher whom the broker vouches for.
    async fn publish(&self, job: Value) -> Uuid {
        let id = Uuid::new_v4();
        let vouched = BasicProperties::default().with_user_id(self.user.as_str().into());
        self.client.publish_with(with(job, json!({"job_id": id})).to_string().as_bytes(), vouched).await;
        id
    }

    async fn ends(&self, id: Uuid) -> Value {
        self.world.broker.receipt(id).await
    }

    async fn is_denied(&self, id: Uuid, reason: &str) {
        let receipt = self.ends(id).await;
        assert_eq!(receipt["error"]["code"], "not_authorized", "{receipt:#}");
        assert_eq!(receipt["attempt"], 1, "it is not tried again: {receipt:#}");
        let message = receipt["error"]["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{message}");
    }

    fn write(&self, entity: &str) -> String {
        self.world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]))
    }
}

#[tokio::test]
async fn a_publisher_has_loaded_what_the_file_of_publishers_says_and_no_more() {
    let site = Restricted::new("[publishers.USER]\nentities = ['A*']\nperiods = ['2022-*']\nroots = ['IN/own']").await;
    let _worker = site.world.worker(&site.settings()).await;
    let (world, user) = (&site.world, site.user.as_str());
    std::fs::create_dir(world.input("own")).expect("a folder");
    let own = world.write("own/a.csv", csv("A", "2022-06", &[("10", "5")]));
    let other = world.write("a.csv", csv("A", "2022-06", &[("10", "7")]));

    let loaded = site.ends(site.publish(job(&own, "A", "2022-06")).await).await;
    assert_eq!((&loaded["status"], &loaded["user_id"]), (&json!("success"), &json!(user)), "{loaded:#}");

    let denied = site.publish(job(&own, "B", "2022-06")).await;
    site.is_denied(denied, "entity").await;
    site.is_denied(site.publish(job(&own, "A", "2021-06")).await, "period").await;
    site.is_denied(site.publish(job(&other, "A", "2022-06")).await, "from there").await;
    let forced = with(job(&own, "A", "2022-06"), json!({"force": true, "reason": "late"}));
    site.is_denied(site.publish(forced).await, "force").await;
    let whole = with(job(&own, "A", "2022-06"), json!({"mode": "replace"}));
    site.is_denied(site.publish(whole).await, "replace").await;
    // A name within the publisher's folder whose link leads out of it, though not out of the input root.
    std::os::unix::fs::symlink(&other, world.input("own/link.csv")).expect("a link");
    let link = world.input("own/link.csv").display().to_string();
    site.is_denied(site.publish(job(&link, "A", "2022-06")).await, "a link leads out").await;

    // A publisher's folder that has become a link out of the input root.
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("a.csv"), csv("A", "2022-06", &[("10", "9")])).expect("a file");
    std::fs::rename(world.input("own"), world.input("moved")).expect("the folder moves");
    std::os::unix::fs::symlink(&outside, world.input("own")).expect("a link");
    let led_out = site.ends(site.publish(job(&own, "A", "2022-06")).await).await;
    assert_eq!(led_out["error"]["code"], "file_not_allowed", "{led_out:#}");
    std::fs::remove_file(world.input("own")).expect("the link goes");
    std::fs::rename(world.input("moved"), world.input("own")).expect("the folder is back");

    // Nobody vouches for these, whatever they say.
    for user_header in [None, Some(user), Some("")] {
        let said = user_header.map(|user| ("aura-user-id", AMQPValue::LongString(user.into())));
        let (id, properties) = (Uuid::new_v4(), BasicProperties::default());
        let properties = properties.with_headers(headers(&said.into_iter().collect::<Vec<_>>()));
        let body = with(job(&own, "A", "2022-06"), json!({"job_id": id})).to_string();
        site.client.publish_with(body.as_bytes(), properties).await;
        site.is_denied(id, "does not vouch for").await;
    }

    // Each is a dead letter, and its denial stands in the audit trail with who tried it.
    assert_eq!(world.broker.dead(10).await.len(), 10);
    world.settled().await;
    let chain = world.chain("B", "2022-06").await;
    let letter = chain.iter().find(|event| text(event, "event_type") == "dead_lettered").expect("its dead letter");
    let metadata = letter.get_document("metadata").expect("metadata");
    assert_eq!((text(metadata, "code"), text(metadata, "user_id")), ("not_authorized".into(), site.user.clone()));
    assert_eq!(world.rows("SELECT count(*) FROM gl_accounts").await[0]["count"], 1);
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn a_job_that_is_given_back_before_its_claim_keeps_who_published_it() {
    let site = Restricted::new("[publishers.USER]\nentities = ['A']").await;
    let world = &site.world;
    let (lock, unlock) = ("SELECT pg_advisory_lock(hashtextextended($1, 0))", "SELECT pg_advisory_unlock_all()");
    world.postgres.execute(lock, &[&"slice:A:2022-06"]).await.expect("a lock");
    // With one place, a busy slice is not waited for.
    let worker = world.worker(&[&site.settings()[..], &[("AURA_CONCURRENCY", "1")]].concat()).await;
    let file = site.write("A");
    let id = site.publish(job(&file, "A", "2022-06")).await;
    let parked = async || {
        let (_, metrics) = worker.get("/metrics").await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix("aura_parked_total "))?.parse::<f64>().ok()?;
        (count >= 2.0).then_some(())
    };
    until("the job is given back twice", Duration::from_secs(20), parked).await;
    world.postgres.execute(unlock, &[]).await.expect("the lock goes");
    let receipt = site.ends(id).await;
    assert_eq!((&receipt["status"], &receipt["user_id"]), (&json!("success"), &json!(site.user)), "{receipt:#}");
}

#[tokio::test]
async fn a_denied_job_is_replayed_once_its_publisher_or_who_replays_it_may_have_it_loaded() {
    let mut site = Restricted::new("[publishers.clerk]\n[publishers.USER]\nentities = ['A']").await;
    let mut worker = site.world.worker(&site.settings()).await;
    let file = site.write("B");
    let by_broker = with(job(&file, "B", "2022-06"), json!({"job_id": Uuid::new_v4()}));
    let id = by_broker["job_id"].as_str().unwrap().parse().unwrap();
    site.world.broker.publish_with(by_broker.to_string().as_bytes(), BasicProperties::default()).await;
    site.is_denied(id, "does not vouch for").await;
    site.world.broker.dead(1).await;

    // Neither who published it nor who replays it may.
    site.world.producer(&["dead", "replay", "--all"]).await.expect(0);
    assert_eq!(site.world.broker.nth_receipt(id, 2).await["error"]["code"], "not_authorized");
    site.world.broker.dead(1).await;

    let widened = std::fs::read_to_string(&site.path).expect("the file").replace("['A']", "['A', 'B']");
    std::fs::write(&site.path, widened).expect("a file");
    assert_eq!(worker.stop().await, Some(0));
    let _worker = site.world.worker(&site.settings()).await;
    let url = site.url.clone();
    site.world.lay_over(&[("AURA_AMQP_URL", &url)]);
    site.world.producer(&["dead", "replay", "--all"]).await.expect(0);
    let receipt = site.world.broker.nth_receipt(id, 3).await;
    assert_eq!(receipt["status"], "success", "{receipt:#}");
}

#[tokio::test]
async fn a_file_of_publishers_that_cannot_be_meant_ends_the_worker_at_its_start() {
    let site = Restricted::new("").await;
    let own = Url::parse(site.world.setting("AURA_AMQP_URL")).expect("a URL").username().to_owned();
    for (text, reason) in [
        ("[publishers.x]\nentity = ['A']".to_owned(), "unknown field `entity`"),
        (format!("[publishers.{own}]"), "a RabbitMQ user of their own"),
        ("[publishers.x]\nroots = ['/elsewhere']".to_owned(), "lies outside AURA_INPUT_ROOTS"),
    ] {
        std::fs::write(&site.path, text).expect("a file");
        let settings = site.world.settings_with(&site.settings());
        let command = command("aura-worker", site.world.path(), &settings);
        let said = run(command, Duration::from_secs(30)).await.expect(2);
        assert!(said.stderr.contains(reason) && said.stderr.contains("publishers.toml"), "{}", said.stderr);
    }
}

/// The URL under another user's name, which a proxy makes the real one of on its way: the broker of a login by
/// token, too, knows another name than the URL has.
async fn renamed_on_the_way(url: &str) -> Url {
    let mut url = Url::parse(url).expect("a URL");
    let broker = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
    let name = url.username().to_owned();
    let other: String = name.chars().rev().collect::<String>().to_uppercase();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a URL with a host");
    url.set_username(&other).expect("a URL with a host");
    let (from, to) = (format!("\0{other}\0").into_bytes(), format!("\0{name}\0").into_bytes());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect(broker.clone()).await.expect("the broker answers");
            let (from, to) = (from.clone(), to.clone());
            tokio::spawn(async move {
                let ((mut said, mut heard), (mut answered, mut asked)) = (client.into_split(), broker.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut answered, &mut heard).await });
                let mut chunk = vec![0; 4096];
                // The login is the client's second write, which comes whole.
                while let Ok(count @ 1..) = said.read(&mut chunk).await {
                    let bytes = &mut chunk[..count];
                    if let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
                        bytes[at..at + to.len()].copy_from_slice(&to);
                    }
                    if asked.write_all(bytes).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn who_logs_in_under_another_name_than_the_urls_still_publishes_and_is_vouched_for_by_nobody() {
    let site = Restricted::new("[publishers.USER]").await;
    let url = renamed_on_the_way(site.world.setting("AURA_AMQP_URL")).await;
    let file = site.write("A");
    let worker = site.world.worker(&[]).await;
    let mut anonymous = site.world.settings_with(&[("AURA_AMQP_URL", url.as_str())]);
    let mut publish = command("aura-producer", site.world.path(), &anonymous);
    publish.args(["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json"]);
    let said = run(publish, Duration::from_secs(60)).await.expect(0).json();
    let id = said["jobs"][0]["job_id"].as_str().expect("a job").parse().expect("its id");
    let receipt = site.ends(id).await;
    assert_eq!((&receipt["status"], &receipt["user_id"]), (&json!("success"), &Value::Null), "{receipt:#}");
    drop(worker);

    // A worker that must know who published its jobs takes none.
    anonymous.push(("AURA_PUBLISHERS_PATH".to_owned(), site.path.clone()));
    let log = site.world.path().join("unknown");
    let mut worker = Worker::begin(command("aura-worker", site.world.path(), &anonymous), log);
    site.publish(job(&file, "A", "2022-06")).await;
    worker.says("needs a user whose name stands in AURA_AMQP_URL").await;
    assert_eq!(worker.stop().await, Some(0));
    assert!(!worker.text().contains("taking jobs"), "{}", worker.tail());
    assert_eq!(site.world.broker.depth("aura.jobs").await, 1);
}
