//! The examples for export jobs in other languages: they work as they stand, and fail loudly where a name is wrong.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tests::wait::{SOON, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;
use uuid::Uuid;

use crate::{
    process::{Said, node, python, run},
    stack::checkout,
    world::{World, csv, job, with},
};

/// The exchange and the key as every example names them.
const ADDRESS: &str = r#""aura.jobs", "job""#;
const LIMIT: Duration = Duration::from_secs(60);

fn text(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).expect(path)
}

/// The file with one text in another's place.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} stands there once:\n{text}");
    text.replace(from, to)
}

/// README's example as it stands, but for the broker and the file.
fn readme_example(url: &Url, file: &str) -> String {
    let readme = text("README.md");
    let example = readme.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).expect("an example").0;
    let example = replaced(example, "amqp://aura:aura@127.0.0.1:5672/%2f", url.as_str());
    replaced(&example, "/exports/ABEX_2022-06.csv", file)
}

/// Runs a program's text as a file of the world, with these arguments.
async fn run_text(world: &World, mut interpreter: Command, name: &str, text: &str, arguments: &[&str]) -> Said {
    let folder = world.path().join(Uuid::new_v4().to_string());
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join(name), text).expect("a file");
    interpreter.arg(folder.join(name)).args(arguments);
    run(interpreter, LIMIT).await
}

#[tokio::test]
async fn the_readmes_example_publishes_a_job_and_fails_loudly_where_a_name_is_wrong() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("ABEX_2022-06.csv", csv("ABEX", "2022-06", &[("10", "5")]));
    let example = readme_example(&world.amqp(), &file);
    let run = async |text: &str| run_text(&world, python(), "example.py", text, &[]).await;
    assert_eq!(run(&example).await.expect(0).stderr, "");
    let receipt = world.broker.receipt_where("the receipt", |receipt| receipt["status"] == "success").await.body;
    assert_eq!((&receipt["entity"], &receipt["attempt"]), (&json!("ABEX"), &json!(1)));
    for (wrong, says) in [
        (replaced(&example, ADDRESS, r#""aura.job", "job""#), "no exchange 'aura.job'"),
        (replaced(&example, ADDRESS, r#""aura.jobs", "jobs""#), "UnroutableError"),
    ] {
        let said = run(&wrong).await.expect(1);
        assert!(said.stderr.contains(says), "{}", said.stderr);
    }
    assert_eq!(world.broker.received().len(), 1);
}

/// A way to the broker whose first connection breaks once a job has arrived, before its confirm comes back.
async fn breaks_once(broker: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(broker).await.expect("the broker");
        let (mut asked, mut answered) = ([0; 65_536], [0; 65_536]);
        let mut has_arrived = false;
        while !has_arrived {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let asked = &asked[..read.expect("bytes")];
                    has_arrived = asked.windows(8).any(|bytes| bytes == b"\"job_id\"");
                    server.write_all(asked).await.expect("the connection stands");
                }
                read = server.read(&mut answered) => {
                    let answered = &answered[..read.expect("bytes")];
                    client.write_all(answered).await.expect("the connection stands");
                }
            }
        }
        assert!(server.read(&mut answered).await.expect("the connection stands") > 0, "the broker confirms");
        drop((client, server));
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(broker).await.expect("the broker");
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    address
}

#[tokio::test]
async fn the_readmes_example_repeats_a_job_whose_confirm_was_lost_and_it_is_the_same_job() {
    let (world, _worker) = World::with_worker().await;
    let mut url = world.amqp();
    let proxy = breaks_once(*url.socket_addrs(|| None).unwrap().first().unwrap()).await;
    url.set_port(Some(proxy.port())).unwrap();
    let file = world.write("ABEX_2022-06.csv", csv("ABEX", "2022-06", &[("10", "5")]));
    let example = readme_example(&url, &file);
    run_text(&world, python(), "example.py", &example, &[]).await.expect(0);
    world.broker.receipt_where("the second receipt", |receipt| receipt["repeated"] == true).await;
    let receipts: Vec<_> = world.broker.received().into_iter().map(|one| one.body).collect();
    assert_eq!(receipts.len(), 2);
    assert_eq!((&receipts[0]["status"], &receipts[0]["job_id"]), (&json!("success"), &receipts[1]["job_id"]));
}

#[tokio::test]
async fn a_job_step_that_is_started_again_sends_the_same_job_through_the_producer() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let (job, batch) = (Uuid::new_v4(), Uuid::new_v4());
    // As ABAP makes them: 32 digits in capitals.
    let [job_text, batch_text] = [job, batch].map(|id| id.simple().to_string().to_uppercase());
    let publish = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--job-id", &job_text];
    let kept = ["--batch-id", &batch_text, "--exported-at", "2022-07-01T06:00:00Z", "--wait"];
    for round in 1..=2 {
        world.producer(&[&publish[..], &kept].concat()).await.expect(0);
        let receipt = world.broker.nth_receipt(job, round).await;
        assert_eq!((&receipt["status"], receipt["repeated"] == true), (&json!("success"), round == 2));
    }
}

/// Whether a program is on the path.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// An example as it stands, then with the id that it printed, then with wrong names.
async fn publishes(interpreter: impl Fn() -> Command, name: &str) {
    let (world, _worker) = World::with_worker().await;
    let example = text(&format!("docs/publishers/{name}"));
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let url = world.amqp();
    let run = async |text: &str, more: &[&str]| {
        let arguments = [&[url.as_str(), &file, "A", "2022-06"], more].concat();
        run_text(&world, interpreter(), name, text, &arguments).await
    };
    let said = run(&example, &[]).await.expect(0);
    assert_eq!(said.stderr, "");
    let id: Uuid = said.stdout.trim().parse().expect("it prints the job's id");
    assert_eq!(world.broker.receipt(id).await["status"], "success");
    run(&example, &[&id.to_string()]).await.expect(0);
    assert_eq!(world.broker.nth_receipt(id, 2).await["repeated"], true);
    for wrong in [r#""aura.job", "job""#, r#""aura.jobs", "jobs""#] {
        let said = run(&replaced(&example, ADDRESS, wrong), &[]).await.expect(1);
        assert!(!said.stderr.is_empty(), "{wrong}");
    }
    assert_eq!(world.broker.received().len(), 2);
}

#[tokio::test]
async fn the_example_in_python_publishes_repeats_and_fails_loudly() {
    publishes(python, "publish.py").await;
}

#[tokio::test]
async fn the_example_in_node_publishes_repeats_and_fails_loudly() {
    publishes(node, "publish.js").await;
}

#[tokio::test]
async fn the_example_in_java_publishes_repeats_and_fails_loudly() {
    // Where Debian's packages put them.
    let jars = ["amqp-client", "slf4j-api", "slf4j-nop"].map(|jar| format!("/usr/share/java/{jar}.jar"));
    if !jars.iter().all(|jar| Path::new(jar).exists()) || !is_there("java") {
        eprintln!("SKIPPED: no Java with librabbitmq-client-java and libslf4j-java; deploy/contracts installs them");
        return;
    }
    let java = || {
        let mut java = Command::new("java");
        java.arg("-cp").arg(jars.join(":"));
        java
    };
    publishes(java, "Publish.java").await;
}

#[tokio::test]
async fn the_example_in_go_publishes_repeats_and_fails_loudly() {
    let packages = "/usr/share/gocode";
    if !Path::new(packages).join("src/github.com/rabbitmq/amqp091-go").exists() || !is_there("go") {
        eprintln!("SKIPPED: no Go with golang-github-rabbitmq-amqp091-go-dev; deploy/contracts installs them");
        return;
    }
    let go = || {
        let mut go = Command::new("go");
        go.arg("run").env("GOPATH", packages).env("GO111MODULE", "off");
        go
    };
    publishes(go, "publish.go").await;
}

/// The receipts of a batch of two jobs, as an example reads them.
async fn reads(mut interpreter: Command, name: &str) {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    let good = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let bad = world.write("b.csv", csv("B", "2022-06", &[("10", "x")]));
    let said = world.path().join("said");
    let output = std::fs::File::create(&said).expect("a file");
    let example: &Path = &checkout().join("docs/publishers").join(name);
    interpreter.arg(example).args([world.amqp().as_str(), &batch.to_string(), "2"]).stdout(output);
    let mut reader = tokio::process::Command::from(interpreter).kill_on_drop(true).spawn().expect("the example starts");
    let lines = || std::fs::read_to_string(&said).expect("what it said");
    until("the example listens", SOON, async || lines().starts_with("listening\n").then_some(())).await;
    // Another batch's receipts are none of its business.
    world.ends("success", with(job(&good, "A", "2022-06"), json!({"batch_id": Uuid::new_v4()}))).await;
    let of_batch = |job: Value| with(job, json!({"batch_id": batch, "skip_duplicates": false}));
    world.ends("success", of_batch(job(&good, "A", "2022-06"))).await;
    world.ends("failed", of_batch(job(&bad, "B", "2022-06"))).await;
    let status = tokio::time::timeout(LIMIT, reader.wait()).await.expect("the example ends").expect("its status");
    let read: Vec<_> = lines().lines().skip(1).map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(read, ["success A 2022-06 1", "failed B 2022-06 0 row_invalid"]);
    assert_eq!(status.code(), Some(1), "a job of the batch failed");
}

#[tokio::test]
async fn the_example_in_python_reads_the_receipts_of_a_batch() {
    reads(python(), "receipts.py").await;
}

#[tokio::test]
async fn the_example_in_node_reads_the_receipts_of_a_batch() {
    reads(node(), "receipts.js").await;
}
