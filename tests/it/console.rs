//! The console: who gets in, who may act, in whose name that is done, and what a page makes of hostile texts.

use lapin::{Connection, ConnectionProperties, options::BasicConsumeOptions, types::FieldTable};
use serde_json::{Value, json};
use tests::console::{Console, token, users};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const PEOPLE: [(&str, &str); 3] = [("vera", "viewer"), ("olga", "operator"), ("carl", "controller")];

/// A console with a viewer, an operator and a controller.
async fn peopled(world: &World, more: &[(&str, &str)]) -> Console {
    let path = world.path().join("users.toml");
    users(&path, &PEOPLE);
    let path = path.display().to_string();
    world.console(&[&[("AURA_CONSOLE_USERS_PATH", path.as_str())], more].concat()).await
}

/// A job of an entity that died of a bad balance; its identity.
async fn dead(world: &World, entity: &str) -> String {
    let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "bad")]));
    world.ends("failed", job(&file, entity, "2022-06")).await["job_id"].as_str().expect("an identity").to_owned()
}

/// Waits until an operation of the console's has ended; what it came to.
async fn ended(console: &Console, begun: &Value) -> Value {
    let id = begun["operation_id"].as_str().expect("an identity");
    until("the act ends", SOON, async || {
        let seen = console.json(&format!("/dead/operations/{id}"), Some("olga")).await.expect(200).json();
        (!seen["act"]["ended_at"].is_null()).then_some(seen)
    })
    .await
}

#[tokio::test]
async fn without_a_file_of_users_it_reads_only_and_answers_to_no_other_name() {
    let (world, _worker) = World::with_worker().await;
    dead(&world, "A").await;
    world.broker.dead(1).await;
    let console = world.console(&[]).await;
    let now = until("the queue is counted", SOON, async || {
        let now = console.json("/", None).await.expect(200).json();
        let dead = now["queues"].as_array()?.iter().find(|queue| queue["name"] == "aura.dead")?["messages"] == 1;
        (dead && now["dead_letters"] == 1).then_some(now)
    })
    .await;
    assert_eq!(now["dead_letter_groups"][0]["code"], "row_invalid", "{now:#}");
    assert_eq!(now["needs_attention"], json!([]), "{now:#}");
    let page = console.page("/dead").await.expect(200);
    assert!(page.text.contains("row_invalid") && !page.text.contains("<form method=\"post\" action=\"/dead/replay\""));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("x-content-type-options"), page.header("cache-control")), ("nosniff", "no-store"));
    for (path, fields) in [
        ("/dead/replay", vec![("all", "1")]),
        ("/dead/dry-run", vec![("all", "1")]),
        ("/dead/discard", vec![("all", "1"), ("reason", "x")]),
        ("/dead/write-down", vec![]),
        ("/periods/lock", vec![("period", "2022-06"), ("reason", "x")]),
        ("/periods/unlock", vec![("period", "2022-06"), ("reason", "x")]),
    ] {
        let refused = console.send(path, &[], &fields).await.expect(403);
        assert!(refused.text.contains("reads only"), "{path}: {}", refused.text);
    }
    assert_eq!(world.broker.dead(1).await.len(), 1);
    // A name of another site that was made to point here.
    console.ask("/", &[("host", "evil.example")]).await.expect(403);
    console.page("/nowhere").await.expect(404);
    console.json(&format!("/dead/letters/{}", Uuid::nil()), None).await.expect(404);
    console.send("/", &[], &[]).await.expect(405);

    let settings = [("AURA_CONSOLE_ADDR", "0.0.0.0:0")];
    let mut open = crate::process::command("aura-producer", world.path(), &world.settings_with(&settings));
    open.arg("console");
    let said = tests::program::run(open, SOON).await;
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("AURA_CONSOLE_USERS_PATH"), "{}", said.stderr);
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_nobody_acts_but_by_their_role_and_form() {
    let (world, _worker) = World::with_worker().await;
    let console = peopled(&world, &[]).await;
    let to_sign_in = console.page("/dead?group=x").await.expect(303);
    assert!(to_sign_in.header("location").starts_with("/sign-in"), "{to_sign_in:?}");
    console.json("/", None).await.expect(401);
    console.json("/", Some("nobody")).await.expect(401);
    console.ask("/events", &[]).await.expect(401);
    console.send("/sign-in", &[], &[("token", "vera")]).await.expect(401);
    // Who asks a part of a page is told to leave for the form.
    let part = console.ask("/", &[("hx-request", "true")]).await.expect(401);
    assert!(part.header("hx-redirect").starts_with("/sign-in"), "{part:?}");

    let answer =
        console.send("/sign-in", &[], &[("token", &token("olga")), ("next", "//evil.example")]).await.expect(303);
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite="), "{cookie}");
    assert_eq!(answer.header("location"), "/");
    let cookie = console.sign_in("olga").await;
    let page = console.ask("/dead", &[("cookie", &cookie)]).await.expect(200);
    let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").expect("a token of forms");
    let csrf = rest.split('"').next().unwrap();
    let all = [("all", "1"), ("reason", "x")];
    for (headers, fields, status) in [
        (vec![("cookie", cookie.as_str())], all.to_vec(), 403),
        (vec![("cookie", &cookie)], [&all[..], &[("csrf", "0")]].concat(), 403),
        (vec![("cookie", &cookie), ("sec-fetch-site", "cross-site")], [&all[..], &[("csrf", csrf)]].concat(), 403),
        (vec![("cookie", &cookie), ("sec-fetch-site", "same-origin")], [&all[..], &[("csrf", csrf)]].concat(), 303),
    ] {
        let answer = console.send("/dead/discard", &headers, &fields).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
    }
    // What each role may.
    let lock = [("period", "2022-06"), ("reason", "reported")];
    for (name, discards, locks) in [("vera", 403, 403), ("olga", 202, 403), ("carl", 202, 200)] {
        assert_eq!(console.act("/dead/discard", name, &all).await.status, discards, "{name}");
        assert_eq!(console.act("/periods/lock", name, &lock).await.status, locks, "{name}");
    }
    let locked = world.rows("SELECT period, locked_by, reason FROM period_locks").await;
    assert_eq!(locked[0], json!({"period": "2022-06", "locked_by": "carl", "reason": "reported"}));
    world.settled().await;
    let events = world.producer(&["verify", "--json"]).await;
    assert_eq!(events.code, 0, "{}", events.stdout);
    let page = console.json("/periods", Some("vera")).await.expect(200).json();
    assert_eq!(page["locks"][0]["locked_by"], "carl");
    for fields in [vec![("period", "June"), ("reason", "x")], vec![("period", "2022-06")], vec![]] {
        console.act("/periods/unlock", "carl", &fields).await.expect(400);
    }
    let opened = console.act("/periods/unlock", "carl", &lock).await.expect(200).json();
    assert_eq!((&opened["changed"], &opened["locks"]), (&json!(true), &json!([])));
    // A token that is replaced ends the sessions that were begun with it.
    let carls = console.sign_in("carl").await;
    let path = world.path().join("users.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let hash = |token: &str| tests::digest::sha256(token.as_bytes());
    std::fs::write(&path, text.replace(&hash("carlcarl"), &hash("another"))).unwrap();
    until("carl is out", SOON, async || {
        (console.ask("/dead", &[("cookie", &carls)]).await.status == 303).then_some(())
    })
    .await;
    // Whoever leaves the file is out at once, signed in or not.
    users(&world.path().join("users.toml"), &[("vera", "viewer")]);
    until("olga is out", SOON, async || {
        let answer = console.ask("/dead", &[("cookie", &cookie)]).await;
        (answer.status == 303 && console.json("/", Some("olga")).await.status == 401).then_some(())
    })
    .await;
    // And nobody gets in by a file that cannot be read.
    std::fs::write(world.path().join("users.toml"), "[users.vera]\nrole = 'king'\n").unwrap();
    until("the file is read", SOON, async || (console.json("/", Some("vera")).await.status == 503).then_some(())).await;
}

#[tokio::test]
async fn a_session_ends_when_nobody_does_anything_however_live_the_page_is() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let console = peopled(&world, &[("AURA_CONSOLE_SESSION_SECONDS", "2")]).await;
    let cookie = console.sign_in("vera").await;
    console.ask("/", &[("cookie", &cookie)]).await.expect(200);
    // What a page asks by itself does not keep the session: its reader may have gone.
    until("the session is over", SOON, async || {
        let answer = console.ask("/", &[("cookie", &cookie), ("x-aura-live", "1"), ("hx-request", "true")]).await;
        (answer.status == 401).then_some(())
    })
    .await;
    // A stream that was open says so once, and ends.
    let cookie = console.sign_in("vera").await;
    let stream = console.ask("/events", &[("cookie", &cookie)]).await.expect(200);
    assert!(stream.text.ends_with("event: now\ndata: over\n\n"), "{}", stream.text);
    let cookie = console.sign_in("vera").await;
    console.send("/sign-out", &[("cookie", &cookie)], &[]).await.expect(303);
    console.ask("/", &[("cookie", &cookie)]).await.expect(303);
}

#[tokio::test]
async fn whom_a_reverse_proxy_names_is_believed_only_if_that_is_configured() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let by_proxy = [("AURA_CONSOLE_USER_HEADER", "X-Forwarded-User"), ("AURA_CONSOLE_PROXY_SECRET", "only ours")];
    let console = peopled(&world, &by_proxy).await;
    let named =
        |name| vec![("x-forwarded-user", name), ("accept", "application/json"), ("x-aura-proxy-secret", "only ours")];
    for other in [vec![("x-forwarded-user", "vera")], vec![("x-forwarded-user", "vera"), ("x-aura-proxy-secret", "x")]]
    {
        console.ask("/", &other).await.expect(403);
    }
    console.ask("/", &named("vera")).await.expect(200);
    console.ask("/", &named("nobody")).await.expect(403);
    console.ask("/", &[]).await.expect(403);
    console.ask("/", &[named("vera"), vec![("x-forwarded-user", "carl")]].concat()).await.expect(403);
    // Its own token is no way around the proxy.
    console.json("/", Some("carl")).await.expect(403);
    console.send("/periods/lock", &named("carl"), &[("period", "2022-06"), ("reason", "x")]).await.expect(403);
    let page = console
        .ask("/periods", &[("x-forwarded-user", "carl"), ("x-aura-proxy-secret", "only ours")])
        .await
        .expect(200);
    let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").expect("a token of forms");
    let csrf = rest.split('"').next().unwrap();
    let lock = [("period", "2022-06"), ("reason", "x"), ("csrf", csrf)];
    console.send("/periods/lock", &named("vera"), &lock).await.expect(403);
    console.send("/periods/lock", &named("carl"), &lock).await.expect(200);

    let console = peopled(&world, &[]).await;
    console.ask("/", &named("carl")).await.expect(401);
    let settings = [("AURA_CONSOLE_USER_HEADER", "X-Forwarded-User")];
    let mut alone = crate::process::command("aura-producer", world.path(), &world.settings_with(&settings));
    alone.arg("console");
    assert_eq!(tests::program::run(alone, SOON).await.code, 2);
}

#[tokio::test]
async fn what_is_tried_replayed_and_discarded_is_so_in_the_name_of_whoever_did_it() {
    let (world, _worker) = World::with_worker().await;
    let console = peopled(&world, &[]).await;
    let (one, other) = (dead(&world, "A").await, dead(&world, "B").await);
    world.broker.dead(2).await;
    for (path, fields) in [
        ("/dead/replay", vec![]),
        ("/dead/replay", vec![("id", "x")]),
        ("/dead/replay", vec![("all", "1"), ("entity", "A")]),
        ("/dead/replay", vec![("all", "1"), ("rate", "fast")]),
        ("/dead/replay", vec![("all", "1"), ("new_source", "sap-fi")]),
        ("/dead/replay", vec![("id", &one), ("file", "/in/other.csv")]),
        ("/dead/replay", vec![("all", "1"), ("as_new", "1"), ("file", "/in/other.csv")]),
        ("/dead/discard", vec![("all", "1")]),
        ("/dead/discard", vec![("all", "1"), ("reason", " ")]),
    ] {
        console.act(path, "olga", &fields).await.expect(400);
    }
    // What a form acts on is what its page shows, by age, too.
    let cookie = console.sign_in("olga").await;
    let page = console.ask("/dead?newer_than=1h", &[("cookie", &cookie)]).await.expect(200);
    assert!(page.text.contains("name=\"newer_than\" value=\"1h\""), "{}", page.text);
    let none =
        console.act("/dead/discard", "olga", &[("older_than", "1h"), ("reason", "old")]).await.expect(202).json();
    assert_eq!(ended(&console, &none).await["operation"]["total"], 0);
    world.write("A.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-7.25")]));
    let tried = console.act("/dead/dry-run", "olga", &[("all", "1")]).await.expect(202).json();
    let tried = ended(&console, &tried).await["act"]["outcome"]["tried"].clone();
    assert_eq!(tried["would"], json!({"load": 1, "fail": 1}), "{tried:#}");
    assert_eq!(world.broker.dead(2).await.len(), 2);

    let replayed = console.act("/dead/replay", "olga", &[("id", &one), ("canary", "1")]).await.expect(202).json();
    let seen = ended(&console, &replayed).await;
    assert_eq!(
        (&seen["operation"]["state"], &seen["operation"]["actor"]),
        (&json!("done"), &json!("olga")),
        "{seen:#}"
    );
    let by: String = world.one("SELECT settled_by FROM dead_letters WHERE state = 'replayed'", &[]).await;
    assert_eq!(by, "olga");
    let discarded =
        console.act("/dead/discard", "carl", &[("id", &other), ("reason", "sent twice")]).await.expect(202).json();
    assert_eq!(ended(&console, &discarded).await["operation"]["reason"], "sent twice");
    let letter = console.json(&format!("/dead/letters/{other}"), Some("vera")).await.expect(200).json();
    let letter = &letter["letters"][0];
    assert_eq!(
        (&letter["state"], &letter["settled_by"], &letter["reason"]),
        (&json!("discarded"), &json!("carl"), &json!("sent twice"))
    );
    assert_eq!(world.slice("A", "2022-06").await, (2, "-2.25".to_owned()));
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn of_two_who_act_at_once_the_second_is_told_who_is_in_the_way_and_nothing_is_lost() {
    let (world, _worker) = World::with_worker().await;
    let console = peopled(&world, &[]).await;
    dead(&world, "A").await;
    world.broker.dead(1).await;
    let connection = Connection::connect(world.amqp().as_str(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
    channel.basic_consume("aura.dead".into(), "".into(), options, FieldTable::default()).await.unwrap();
    let replayed = console.act("/dead/replay", "olga", &[("all", "1")]).await.expect(202).json();
    let seen = ended(&console, &replayed).await;
    assert!(seen["act"]["error"].as_str().unwrap().contains("is held by another"), "{seen:#}");
    connection.close(200, "done".into()).await.unwrap();
    assert_eq!(world.broker.dead(1).await.len(), 1);
    // Paused by one person, ended by another.
    let slow = console.act("/dead/replay", "olga", &[("all", "1"), ("rate", "1/m")]).await.expect(202).json();
    ended(&console, &slow).await;
    let id = slow["operation_id"].as_str().unwrap();
    console.act(&format!("/dead/operations/{id}/cancel"), "carl", &[]).await.expect(409);
    console.act(&format!("/dead/operations/{id}/explode"), "carl", &[]).await.expect(404);
    console.act(&format!("/dead/operations/{id}/pause"), "vera", &[]).await.expect(403);
}

#[tokio::test]
async fn a_hostile_text_is_shown_as_the_text_that_it_is() {
    let (world, _worker) = World::with_worker().await;
    let console = peopled(&world, &[]).await;
    let hostile = "<script>alert(1)</script>\u{1b}[31m\u{202e}=HYPERLINK(\"x\")";
    let file = world.write(&format!("{}.csv", hostile.replace('/', "_")), csv("A", "2022-06", &[("10", "bad")]));
    let message = with(job(&file, "A", "2022-06"), json!({"job_id": Uuid::from_u128(7)}));
    world.ends("failed", message).await;
    // And one that is no job at all.
    world.send(json!({"job_id": Uuid::from_u128(8), "entity": hostile, "period": hostile, "file": hostile})).await;
    until("both are written down", SOON, async || {
        (world.one::<i64>("SELECT count(*) FROM dead_letters", &[]).await == 2).then_some(())
    })
    .await;
    let cookie = console.sign_in("olga").await;
    let (seven, eight) = (Uuid::from_u128(7), Uuid::from_u128(8));
    for place in [
        "/".to_owned(),
        "/dead".to_owned(),
        "/dead/operations".to_owned(),
        "/periods".to_owned(),
        format!("/dead/letters/{seven}"),
        format!("/dead/letters/{eight}"),
        "/dead?entity=%3Cscript%3E".to_owned(),
        "/%3Cscript%3E".to_owned(),
        "/sign-in?next=%22%3E%3Cscript%3E".to_owned(),
    ] {
        let page = console.ask(&place, &[("cookie", &cookie)]).await;
        assert!(!page.text.contains("<script>"), "{place}: {}", page.text);
        assert!(!page.text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{place}");
    }
    let page = console.ask(&format!("/dead/letters/{eight}"), &[("cookie", &cookie)]).await.expect(200);
    assert!(page.text.contains("&lt;script&gt;alert(1)") && page.text.contains("\\u001b[31m\\u202e"), "{}", page.text);
    let letter = console.json(&format!("/dead/letters/{eight}"), Some("vera")).await.expect(200).json();
    assert_eq!(letter["letters"][0]["body"]["entity"], hostile, "a program gets the text itself");
}

#[tokio::test]
async fn letters_come_page_by_page_each_once() {
    let (world, _worker) = World::with_worker().await;
    let console = world.console(&[]).await;
    let body = |number: usize| json!({"job_id": Uuid::from_u128(number as u128 + 1), "file": "/in/a.csv"}).to_string();
    let bodies = (0..120_usize).map(body);
    world.producer(&["topology"]).await.expect(0);
    world.broker.fill("aura.dead", bodies).await;
    world.producer(&["dead", "list"]).await.expect(0);
    let (mut seen, mut next) = (Vec::new(), Some("/dead".to_owned()));
    while let Some(place) = next {
        let page = console.json(&place, None).await.expect(200).json();
        let jobs = page["jobs"].as_array().unwrap();
        assert!(!jobs.is_empty() && jobs.len() <= 50, "{}", jobs.len());
        seen.extend(jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
        next = page["next"].as_i64().map(|place| format!("/dead?after={place}"));
    }
    let expected: Vec<String> = (1..=120_u128).map(|number| Uuid::from_u128(number).to_string()).collect();
    seen.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_only_the_queue_holds_is_told_of_and_written_down_by_whoever_may() {
    let (world, _worker) = World::with_worker().await;
    let console = peopled(&world, &[]).await;
    world.broker.fill("aura.dead", [json!({"job_id": Uuid::from_u128(1)}).to_string()].into_iter()).await;
    until("it is told of", SOON, async || {
        let page = console.json("/dead", Some("vera")).await.expect(200).json();
        (page["unwritten"] == 1 && page["letters"] == 0).then_some(())
    })
    .await;
    console.act("/dead/write-down", "vera", &[]).await.expect(403);
    let found = console.act("/dead/write-down", "olga", &[]).await.expect(200).json();
    assert_eq!(found, json!({"found": 1}));
    assert_eq!(console.json("/dead", Some("vera")).await.expect(200).json()["letters"], 1);
}

#[tokio::test]
async fn requests_that_never_end_or_are_too_large_keep_nobody_out() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let console = peopled(&world, &[]).await;
    let large = "x".repeat(200_000);
    console.act("/dead/discard", "olga", &[("all", "1"), ("reason", &large)]).await.expect(413);
    let address = console.url().replace("http://", "");
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        idle.push(stream);
    }
    until("heads that never end are given up", SOON, async || {
        let answer = tokio::time::timeout(SOON / 4, console.page("/healthz")).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, idle[0].read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the console ends a connection whose head does not come");
}
