//! The services: those that the environment names, else this checkout's own.

use std::{collections::HashMap, process::Command, sync::OnceLock};

use url::Url;

use super::Stack;
use crate::{checkout::checkout, wait::SOON};

const HELP: &str = "start the services with 'deploy/local up', or run 'deploy/test', which does";

/// The services of this run. Tests fail where there are none; they never pass by doing nothing.
///
/// # Panics
/// If there are none.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let given = |names: &HashMap<String, String>, name: &str| names.get(name).map(|url| parse(name, url));
        let mut names: HashMap<String, String> = std::env::vars().collect();
        let services = ["AURA_AMQP_URL", "AURA_POSTGRES_URL", "AURA_MONGODB_URL"];
        if services.iter().any(|name| !names.contains_key(*name)) {
            names.extend(local());
        }
        let need = |name: &str| given(&names, name).unwrap_or_else(|| panic!("{name} is not set: {HELP}"));
        let amqp = need("AURA_AMQP_URL");
        let management = given(&names, "AURA_LOCAL_RABBITMQ_MANAGEMENT_URL").unwrap_or_else(|| beside(&amqp));
        let (postgres, mongodb) = (need("AURA_POSTGRES_URL"), need("AURA_MONGODB_URL"));
        Stack { amqp, management, postgres, mongodb, patience: SOON }
    })
}

fn parse(name: &str, text: &str) -> Url {
    // The text may hold a password, so it is not shown.
    Url::parse(text).unwrap_or_else(|error| panic!("{name} is not a URL: {error}"))
}

/// The broker's management API where it usually is.
fn beside(amqp: &Url) -> Url {
    let user = format!("{}:{}", amqp.username(), amqp.password().unwrap_or("guest"));
    let text = format!("http://{user}@{}:15672", amqp.host_str().unwrap_or("127.0.0.1"));
    parse("the management URL beside AURA_AMQP_URL", &text)
}

/// What `deploy/local env` says, after `deploy/local up`, which does nothing if all are up.
fn local() -> HashMap<String, String> {
    let run = |argument: &str| {
        let program = checkout().join("deploy/local");
        let output = Command::new(&program).arg(argument).output();
        let output = output.unwrap_or_else(|error| panic!("{} cannot be run ({error}): {HELP}", program.display()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "deploy/local {argument} failed: {HELP}\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run("up");
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    run("env").lines().filter_map(pair).collect()
}
