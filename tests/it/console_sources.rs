//! The console's sources: profiles as they are understood, files that are checked without being kept, and a document
//! that says what every answer looks like.

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{checkout::checkout, digest::sha256, log::Log};

use crate::{
    process::{command, run, script},
    wait::{SOON, until},
    world::{World, csv},
};

const PROFILE: &str = "mode = \"upsert\"\n[columns]\nentity = \"Firm\"\nperiod = \"Month\"\naccount_code = \"Konto\"\n\
                       account_name = \"Text\"\nbs_pl = \"Typ\"\nstatus = \"Klasse\"\n";
const PEOPLE: [(&str, &str); 2] = [("vera", "viewer"), ("carl", "controller")];
const BOUNDARY: &str = "xXboundaryXx";

/// A console of these tests.
struct Console {
    child: Child,
    url: String,
    client: reqwest::Client,
    /// Where it puts what it needs for a while.
    temporary: PathBuf,
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A part of a form.
enum Part<'a> {
    Field(&'a str, &'a str),
    File(&'a str, &'a [u8]),
}

impl Console {
    async fn start(world: &World, more: &[(&str, &str)]) -> Self {
        world.producer(&["migrate"]).await.expect(0);
        world.producer(&["topology"]).await.expect(0);
        let settings = world.settings_with(&[&[("AURA_CONSOLE_ADDR", "127.0.0.1:0")], more].concat());
        let mut program = command("aura-producer", world.path(), &settings);
        let temporary = world.path().join("temporary");
        std::fs::create_dir(&temporary).expect("a folder");
        program.arg("console").env("TMPDIR", &temporary).stdin(Stdio::null());
        let log = Log::of(&mut program, world.path().join("console.log"));
        let child = program.spawn().expect("the console starts");
        let url = until("the console is served", SOON, async || {
            let text = log.text();
            let (_, rest) = text.split_once("the console is at ")?;
            rest.split_once("/ ").map(|(url, _)| url.to_owned())
        })
        .await;
        let _ = tests::http::client();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { child, url, client, temporary }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request = self.client.get(format!("{}{path}", self.url));
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    async fn json(&self, path: &str, who: &str) -> (u16, Value) {
        let token = format!("Bearer {who}{who}");
        let (status, text) = self.get(path, &[("accept", "application/json"), ("authorization", &token)]).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// Sends a form with a file.
    async fn send(&self, parts: &[Part<'_>], headers: &[(&str, &str)]) -> (u16, String) {
        let mut body = Vec::new();
        for part in parts {
            body.extend_from_slice(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=").as_bytes());
            match part {
                Part::Field(name, value) => body.extend_from_slice(format!("\"{name}\"\r\n\r\n{value}").as_bytes()),
                Part::File(name, bytes) => {
                    body.extend_from_slice(format!("\"file\"; filename=\"{name}\"\r\n\r\n").as_bytes());
                    body.extend_from_slice(bytes);
                }
            }
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.client.post(format!("{}/sources/check", self.url)).header("content-type", kind).body(body);
        answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Checks a file as a program of the viewer's.
    async fn check(&self, parts: &[Part<'_>]) -> (u16, Value) {
        let (status, text) =
            self.send(parts, &[("accept", "application/json"), ("authorization", "Bearer veravera")]).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// What lies in its temporary folder.
    fn kept(&self) -> usize {
        std::fs::read_dir(&self.temporary).expect("a folder").count()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("the console answers");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// A file of users with a viewer and a controller.
fn users(world: &World) -> String {
    let user = |(name, role): &(&str, &str)| {
        let hash = sha256(format!("{name}{name}").as_bytes());
        format!("[users.{name}]\nrole = '{role}'\ntoken_sha256 = '{hash}'\n")
    };
    world.write("users.toml", PEOPLE.iter().map(user).collect::<String>())
}

/// A folder of profiles, by name.
fn sources(world: &World, profiles: &[(&str, String)]) -> String {
    let folder = world.path().join("profiles");
    std::fs::create_dir(&folder).expect("a folder");
    for (name, text) in profiles {
        std::fs::write(folder.join(format!("{name}.toml")), text).expect("a profile");
    }
    folder.display().to_string()
}

fn profile(description: &str, balance: &str) -> String {
    format!("description = \"{description}\"\n{PROFILE}balance = \"{balance}\"\n")
}

#[tokio::test]
async fn profiles_are_shown_valid_or_not_as_the_command_shows_them_and_harmless() {
    let world = World::new().await;
    let hostile = "<script>alert(1)</script> \\u202e \\u001b[31m =HYPERLINK(1)";
    let folder = sources(
        &world,
        &[
            ("firm", profile(hostile, "Betrag")),
            ("check", profile("called as the check is", "Betrag")),
            ("broken", "mode = \"<script>alert(2)</script>\"\n# \u{202e}\u{1b}[31m\n".to_owned()),
        ],
    );
    let users = users(&world);
    let settings = [("AURA_SOURCES_DIR", folder.as_str()), ("AURA_CONSOLE_USERS_PATH", users.as_str())];
    let console = Console::start(&world, &settings).await;

    let (status, list) = console.json("/sources", "vera").await;
    let mut program = command("aura-producer", world.path(), &world.settings_with(&settings));
    program.args(["sources", "list", "--json"]);
    let told = run(program, Duration::from_secs(60)).await;
    assert_eq!((status, &list), (200, &told.json()));
    let names: Vec<&str> =
        list["sources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "broken", "check", "firm"]);
    let mut program = command("aura-producer", world.path(), &world.settings_with(&settings));
    program.args(["sources", "show", "firm", "--json"]);
    let told = run(program, Duration::from_secs(60)).await.expect(0).json();
    let (status, one) = console.json("/sources/firm", "vera").await;
    assert_eq!((status, &one["shown"], &one["error"]), (200, &told, &Value::Null));
    let (status, broken) = console.json("/sources/broken", "vera").await;
    assert_eq!((status, &broken["shown"]), (200, &Value::Null));
    assert!(broken["error"].as_str().unwrap().contains("broken.toml"), "{broken}");
    let (status, built_in) = console.json("/sources/default", "vera").await;
    assert_eq!((status, &built_in["toml"]), (200, &Value::Null));
    assert_eq!(console.json("/sources/check", "vera").await.1["name"], "check");
    for unknown in ["/sources/none", "/sources/..%2F..%2Fetc", "/sources/%3Cscript%3E", "/sources/%E2%80%AE"] {
        let (status, told) = console.json(unknown, "vera").await;
        assert_eq!(status, 404, "{unknown}: {told}");
    }
    let vera = [("authorization", "Bearer veravera")];
    for path in ["/sources", "/sources/firm", "/sources/broken", "/sources/%3Cscript%3E"] {
        let (_, page) = console.get(path, &vera).await;
        assert!(page.contains("<h1>"), "{path}: {page}");
        assert!(!page.contains("<script>alert") && !page.contains(['\u{202e}', '\u{1b}']), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_file_that_is_brought_along_is_checked_as_the_command_checks_it_and_not_kept() {
    let world = World::new().await;
    let users = users(&world);
    let console = Console::start(&world, &[("AURA_CONSOLE_USERS_PATH", &users)]).await;
    let header = "entity,period,account_code,account_name,balance,bs_pl,status\n";
    let name = "<script>alert(1)</script>\u{202e}";
    let text = format!(
        "{header}A,2022-06,10,{name},5.10,BS,Assets\nA,2022-06,20,=HYPERLINK(1),x,BS,Assets\nB,2022-06,10,Cash,0.1234567890123456,BS,Assets\n"
    );
    let path = world.write("A.csv", &text);
    for source in ["", "default"] {
        let mut arguments = vec!["check", path.as_str(), "--json"];
        if !source.is_empty() {
            arguments.extend(["--source", source]);
        }
        let mut told = world.producer(&arguments).await.expect(1).json();
        let parts = [Part::Field("source", source), Part::File("../A <b>.csv", text.as_bytes())];
        let (status, mut answer) = console.check(&parts).await;
        assert_eq!((status, &answer["would_load"], &answer["undecided"]), (200, &json!(false), &Value::Null));
        assert_eq!(answer["file"], "A <b>.csv");
        told["file"]["path"] = json!("");
        answer["checked"]["file"]["path"] = json!("");
        assert_eq!(answer["checked"], told, "{source}");
        assert_eq!(answer["checked"]["slices"][1]["balance_sum"], "0.1234567890123456");
        assert_eq!(answer["fits"], told["fits"], "{source}");
    }
    let parts = [Part::File("A.csv", text.as_bytes()), Part::Field("what", "check")];
    let (status, page) = console.send(&parts, &[("authorization", "Bearer veravera")]).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("A job would fail") && page.contains("is not a decimal number"), "{page}");
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'), "{page}");

    let told = world.producer(&["check", &path, "--suggest", "--json"]).await.expect(0).json();
    let (status, answer) = console.check(&[Part::Field("what", "suggest"), Part::File("A.csv", text.as_bytes())]).await;
    assert_eq!((status, &answer["draft"], &answer["checked"]), (200, &told, &Value::Null));
    let gone = until("nothing is kept", SOON, async || (console.kept() == 0).then_some(()));
    gone.await;
    // An XLSX file is known by what it holds, and another by its header.
    let (status, answer) = console.check(&[Part::File("x.xlsx", b"PK\x03\x04no workbook")]).await;
    assert_eq!((status, answer["undecided"].is_null()), (200, false), "{answer}");
    assert_eq!(console.kept(), 0);
}

#[tokio::test]
async fn readings_that_differ_stand_beside_each_other_and_a_person_decides() {
    let world = World::new().await;
    let users = users(&world);
    let folder = sources(&world, &[("closing", profile("closing", "Saldo")), ("month", profile("month", "Bewegung"))]);
    let settings = [("AURA_SOURCES_DIR", folder.as_str()), ("AURA_CONSOLE_USERS_PATH", users.as_str())];
    let console = Console::start(&world, &settings).await;
    let text = "Firm;Month;Konto;Text;Typ;Klasse;Saldo;Bewegung\nA;2022-06;10;Cash;BS;Assets;5,25;1,10\n\
                A;2022-06;20;Debt;BS;Liabilities;-4,00;0,25\n";
    let (status, answer) = console.check(&[Part::File("a.csv", text.as_bytes())]).await;
    assert_eq!((status, &answer["checked"]), (200, &Value::Null), "{answer}");
    assert!(answer["undecided"]["message"].as_str().unwrap().contains("give different figures"), "{answer}");
    let fitting = |answer: &Value| -> Vec<(String, String)> {
        let text = |fit: &Value, name: &str| fit[name].as_str().unwrap_or_default().to_owned();
        let fits = answer["fits"].as_array().unwrap().iter().filter(|fit| fit["fits"] == true);
        let mut fits: Vec<_> = fits.map(|fit| (text(fit, "source"), text(fit, "balance_sum"))).collect();
        fits.sort();
        fits
    };
    let found = fitting(&answer);
    assert!(found[0].1.starts_with("1.25") && found[1].1.starts_with("1.35"), "{found:?}");
    assert_eq!(found.len(), 2, "{answer}");
    let (_, page) =
        console.send(&[Part::File("a.csv", text.as_bytes())], &[("authorization", "Bearer veravera")]).await;
    assert!(
        page.contains("one of them is to be chosen") && page.contains(">closing<") && page.contains(">month<"),
        "{page}"
    );
    for (source, sum) in [("closing", "1.25"), ("month", "1.35")] {
        let (status, answer) =
            console.check(&[Part::Field("source", source), Part::File("a.csv", text.as_bytes())]).await;
        assert_eq!((status, &answer["would_load"]), (200, &json!(true)), "{answer}");
        assert!(answer["checked"]["slices"][0]["balance_sum"].as_str().unwrap().starts_with(sum), "{answer}");
    }
    let (_, draft) = console.check(&[Part::Field("what", "suggest"), Part::File("a.csv", text.as_bytes())]).await;
    let readings = draft["draft"]["readings"].as_array().unwrap();
    for (balance, sum) in [("\"Saldo\"", "1.25"), ("\"Bewegung\"", "1.35")] {
        assert!(readings.iter().any(|one| one["balance"] == balance && one["sum"] == sum), "{draft:#}");
    }
}

#[tokio::test]
async fn a_file_is_taken_of_whoever_is_signed_in_and_from_no_other_page() {
    let world = World::new().await;
    let users = users(&world);
    let text = csv("A", "2022-06", &[("10", "1")]);
    let file = || Part::File("a.csv", text.as_bytes());
    {
        let open = Console::start(&world, &[]).await;
        let (status, told) = open.send(&[file()], &[]).await;
        assert_eq!(status, 403);
        assert!(told.contains("reads only") && told.contains("AURA_CONSOLE_USERS_PATH"), "{told}");
        let (_, page) = open.get("/sources", &[]).await;
        assert!(!page.contains("action=\"/sources/check\""), "{page}");
        std::fs::remove_dir_all(&open.temporary).expect("a folder");
    }
    let console = Console::start(&world, &[("AURA_CONSOLE_USERS_PATH", &users), ("AURA_MAX_FILE_BYTES", "5000")]).await;
    assert_eq!(console.send(&[file()], &[]).await.0, 303, "sign in first");
    let form = console.client.post(format!("{}/sign-in", console.url));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("token=veravera");
    let signed_in = form.send().await.expect("an answer");
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let cookie = [("cookie", cookie.as_str())];
    let (_, page) = console.get("/sources", &cookie).await;
    let (_, rest) = page.split_once("action=\"/sources/check\"").expect("the form");
    let (_, rest) = rest.split_once("name=\"csrf\" value=\"").expect("the token");
    let csrf = rest.split_once('"').unwrap().0;
    assert_eq!(console.send(&[Part::Field("csrf", csrf), file()], &cookie).await.0, 200);
    for parts in [
        vec![file()],
        vec![file(), Part::Field("csrf", csrf)],
        vec![Part::Field("source", ""), Part::Field("csrf", csrf), file()],
        vec![Part::Field("csrf", "x"), file()],
    ] {
        assert_eq!(console.send(&parts, &cookie).await.0, 403);
    }
    for parts in [
        vec![],
        vec![Part::Field("what", "load"), file()],
        vec![Part::Field("period", "2022-99"), file()],
        vec![Part::Field("source", "a b"), file()],
        vec![Part::Field("source", "none"), file()],
        vec![file(), file()],
        vec![Part::Field("accounts", "1"), file()],
    ] {
        let (status, told) = console.check(&parts).await;
        assert_eq!((status, told["error"]["message"].is_string()), (400, true), "{told}");
    }
    let large = vec![b'x'; 6_000];
    assert_eq!(console.check(&[Part::File("a.csv", &large)]).await.0, 413);
    until("nothing is kept", SOON, async || (console.kept() == 0).then_some(())).await;
}

#[tokio::test]
async fn the_document_is_one_of_openapi_and_real_answers_are_what_it_says() {
    let world = World::new().await;
    let python = std::env::var_os("AURA_TEST_PYTHON")
        .map_or_else(|| checkout().join(".local/python-tests/bin/python"), Into::into);
    assert!(python.exists(), "{} is not there: run 'deploy/test', which makes it", python.display());
    let users = users(&world);
    let console = Console::start(&world, &[("AURA_CONSOLE_USERS_PATH", &users)]).await;
    world.producer(&["period", "lock", "--period", "2022-06", "--reason", "closed"]).await.expect(0);
    let (status, document) = console.json("/openapi.json", "vera").await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let mut answers = Vec::new();
    let id = uuid::Uuid::nil();
    for (path, place) in [
        ("/", "/".to_owned()),
        ("/dead", "/dead".to_owned()),
        ("/dead/letters/{job}", format!("/dead/letters/{id}")),
        ("/dead/operations", "/dead/operations".to_owned()),
        ("/periods", "/periods".to_owned()),
        ("/sources", "/sources".to_owned()),
        ("/sources/{name}", "/sources/sap-bseg".to_owned()),
        ("/sources/{name}", "/sources/none".to_owned()),
    ] {
        let (status, body) = console.json(&place, "vera").await;
        answers.push(json!({"method": "get", "path": path, "status": status, "body": body}));
    }
    let text = csv("A", "2022-06", &[("10", "1"), ("20", "x"), ("10", "2")]);
    for parts in [
        vec![Part::File("a.csv", text.as_bytes())],
        vec![Part::Field("what", "suggest"), Part::File("a.csv", text.as_bytes())],
        vec![Part::File("a.csv", b"nothing")],
        vec![Part::Field("what", "load"), Part::File("a.csv", b"")],
    ] {
        let (status, body) = console.check(&parts).await;
        answers.push(json!({"method": "post", "path": "/sources/check", "status": status, "body": body}));
    }
    let file = world.write("a.csv", &text);
    let mut schemas = Vec::new();
    for (of, arguments) in [
        ("sources-list", vec!["sources", "list"]),
        ("sources-show", vec!["sources", "show", "default"]),
        ("check", vec!["check", &file]),
        ("check-suggest", vec!["check", &file, "--suggest"]),
        ("status", vec!["status"]),
        ("dead-list", vec!["dead", "list"]),
        ("dead-operations", vec!["dead", "operations"]),
        ("period-list", vec!["period", "list"]),
        ("period-unlock", vec!["period", "unlock", "--period", "2022-06"]),
        ("migrate", vec!["migrate"]),
        ("topology", vec!["topology"]),
        ("verify", vec!["verify", "--entity", "A", "--period", "2022-06"]),
        ("publish", vec!["publish", "--file", &file, "--entity", "A", "--period", "2022-06"]),
        ("error", vec!["dead", "show", "00000000-0000-0000-0000-000000000000"]),
        ("error", vec!["status", "--nonsense"]),
    ] {
        let schema = world.producer(&["schema", "--of", of]).await.expect(0).json();
        let answer = world.producer(&[arguments.as_slice(), &["--json"]].concat()).await.json();
        schemas.push(json!({"name": of, "schema": schema, "answer": answer}));
    }
    let all = json!({"document": document, "answers": answers, "schemas": schemas});
    let path = world.write("answers.json", all.to_string());
    let mut checked = script(&python, "other_language/openapi.py");
    checked.arg(path);
    let said = run(checked, Duration::from_secs(120)).await;
    assert_eq!((said.code, said.stdout.trim()), (0, "all answers are what they are said to be"), "{}", said.stderr);
}
