//! Secrets that stand in files: read when they are used, and never shown.

use reqwest::Method;
use serde_json::json;
use url::Url;

use crate::{
    process::{command, run},
    store::management,
    wait::{SOON, until},
    world::{World, csv, job},
};

/// A URL with another password.
fn with_password(url: &str, user: &str, password: &str) -> String {
    let mut url = Url::parse(url).expect("a URL");
    url.set_username(user).and_then(|()| url.set_password(Some(password))).expect("a URL with a host");
    url.to_string()
}

/// Puts a file in its place in one step, as a mounted secret is.
fn put(path: &std::path::Path, text: &str) {
    let partial = path.with_extension("new");
    std::fs::write(&partial, text).expect("a file");
    std::fs::rename(&partial, path).expect("a file");
}

#[tokio::test]
async fn a_worker_goes_on_with_passwords_that_are_changed_while_it_runs() {
    let world = World::new().await;
    let name = world.name().to_owned();
    let (postgres, amqp) = (world.path().join("postgres"), world.path().join("amqp"));
    world.execute(&format!("CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'first-secret'")).await;
    world.other_user().await;
    let of_postgres = |password: &str| with_password(world.setting("AURA_POSTGRES_URL"), &name, password);
    let of_amqp = |password: &str| with_password(world.setting("AURA_AMQP_URL"), &name, password);
    put(&postgres, &format!("{}\n", of_postgres("first-secret")));
    put(&amqp, &of_amqp(&name));
    let files = [
        ("AURA_POSTGRES_URL", ""),
        ("AURA_POSTGRES_URL_FILE", postgres.to_str().expect("a path")),
        ("AURA_AMQP_URL", ""),
        ("AURA_AMQP_URL_FILE", amqp.to_str().expect("a path")),
    ];
    let mut worker = world.worker(&files).await;
    let load = async |entity: &str| {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
        world.ends("success", job(&file, entity, "2022-06")).await
    };
    load("A").await;

    world.execute(&format!("ALTER ROLE {name} PASSWORD 'second-secret'")).await;
    put(&postgres, &of_postgres("second-secret"));
    let user = json!({"password": "second-secret", "tags": ""});
    management(Method::PUT, &format!("users/{name}"), user).await;
    put(&amqp, &format!("{}\r\n", of_amqp("second-secret")));
    let cut = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{name}'");
    assert!(world.one::<i64>(&cut, &[]).await > 0, "the worker was connected");
    // The management learns of connections some seconds late.
    let connected = async || {
        let all = management(Method::GET, "connections?columns=name,user", json!(null)).await;
        let names = all.as_array()?.iter().filter(|one| one["user"] == name.as_str()).map(|one| one["name"].clone());
        Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
    };
    for connection in until("the worker's connections are known", SOON, connected).await {
        let bytes = connection.as_str().expect("a name").as_bytes().to_owned();
        let encoded: String = url::form_urlencoded::byte_serialize(&bytes).collect();
        management(Method::DELETE, &format!("connections/{}", encoded.replace('+', "%20")), json!(null)).await;
    }
    load("B").await;
    world.settled().await;
    assert_eq!(worker.stop().await, Some(0));
    let log = worker.text();
    assert!(!log.contains("first-secret") && !log.contains("second-secret"), "{log}");
}

#[tokio::test]
async fn a_secret_file_that_cannot_be_used_is_named_and_its_content_is_not() {
    let world = World::new().await;
    let path = world.path().join("secret");
    let path_text = path.display().to_string();
    let said = async |settings: &[(&str, &str)]| {
        let mut command = command("aura-producer", world.path(), &world.settings_with(settings));
        command.args(["period", "list"]);
        run(command, std::time::Duration::from_secs(30)).await.expect(2).stderr
    };
    let both = said(&[("AURA_POSTGRES_URL_FILE", &path_text)]).await;
    assert!(both.contains("AURA_POSTGRES_URL_FILE and AURA_POSTGRES_URL are both given"), "{both}");
    let alone = [("AURA_POSTGRES_URL", ""), ("AURA_POSTGRES_URL_FILE", path_text.as_str())];
    let missing = said(&alone).await;
    assert!(missing.contains("AURA_POSTGRES_URL_FILE names") && missing.contains("cannot be read"), "{missing}");
    put(&path, "mysql://u:hidden@h/d\n");
    let wrong = said(&alone).await;
    assert!(wrong.contains("what AURA_POSTGRES_URL_FILE names must start with postgres://"), "{wrong}");
    assert!(!wrong.contains("hidden"), "{wrong}");
}
