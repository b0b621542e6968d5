//! Screens: what a person reads at a terminal of 80 columns, in colours or without, and what a shell makes of it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tests::program::Said;
use tokio::{io::AsyncWriteExt, process::Child};
use uuid::Uuid;

use crate::{
    process::{command, on_terminal, run},
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A command of the producer that asks this world.
fn producer(world: &World, arguments: &[&str], more: &[(&str, &str)]) -> Command {
    let mut producer = command("aura-producer", world.path(), &world.settings_with(more));
    producer.args(arguments);
    producer
}

/// A world in which one job has failed and one has loaded, both of one batch.
async fn one_of_each() -> (World, tests::worker::Worker, Uuid, [Uuid; 2]) {
    let (world, worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    let of_batch = |file: &str, entity: &str| with(job(file, entity, "2022-06"), json!({"batch_id": batch}));
    let good = world.write("a.csv", csv("ABEX", "2022-06", &[("10", "1")]));
    let loaded = world.ends("success", of_batch(&good, "ABEX")).await;
    let bad = world.write("b.csv", csv("BEX", "2022-06", &[("10", "no number")]));
    let failed = world.ends("failed", of_batch(&bad, "BEX")).await;
    world.broker.dead(1).await;
    (world, worker, batch, [id(&loaded), id(&failed)])
}

fn id(receipt: &serde_json::Value) -> Uuid {
    receipt["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a job's identity")
}

/// A text as the terminal shows it.
fn plain(text: &str) -> String {
    let colors = ["\u{1b}[32m", "\u{1b}[31m", "\u{1b}[33m", "\u{1b}[39m"];
    colors.iter().fold(text.replace('\r', ""), |text, color| text.replace(color, ""))
}

/// The lines of its tables that are wider than the terminal.
fn too_wide(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let mut wide = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with('─')) {
        wide.extend(lines[number - 1..].iter().take_while(|line| !line.is_empty()).filter(|l| l.chars().count() > 80));
        assert!(line.chars().count() <= 80);
    }
    wide
}

#[tokio::test]
async fn tables_fit_eighty_columns_and_break_no_identity() {
    let (world, _worker, batch, [loaded, failed]) = one_of_each().await;
    let reason = "reported to the group, and not to be touched again before the auditors have been here";
    world.producer(&["period", "lock", "--period", "2022-07", "--reason", reason]).await.expect(0);
    let (batch, loaded, failed) = (batch.to_string(), loaded.to_string(), failed.to_string());
    let looks: [(&[&str], &[&str]); 6] = [
        (&["status"], &[&batch, &loaded, &failed]),
        (&["status", &batch], &[&batch, &loaded, &failed]),
        (&["dead", "list"], &[&failed]),
        (&["history", "--entity", "ABEX", "--period", "2022-06"], &[&loaded]),
        (&["period", "list"], &[]),
        (&["sources", "list"], &[]),
    ];
    for (arguments, identities) in looks {
        let said = run(on_terminal(&producer(&world, arguments, &[])), LIMIT).await.expect(0);
        let text = plain(&said.stdout);
        assert!(text.contains('─'), "{arguments:?} shows no table:\n{text}");
        assert_eq!(too_wide(&text), Vec::<&str>::new(), "{arguments:?}:\n{text}");
        for identity in identities {
            assert!(text.contains(identity), "{arguments:?} lacks {identity}:\n{text}");
        }
        // A pipe is not folded.
        let piped = run(producer(&world, arguments, &[]), LIMIT).await.expect(0).stdout;
        assert!(!piped.contains("no room for") && !piped.contains('\u{1b}'), "{piped}");
    }
    world.producer(&["dead", "discard", &failed, "--reason", reason]).await.expect(0);
    let said = run(on_terminal(&producer(&world, &["dead", "operations"], &[])), LIMIT).await.expect(0);
    let text = plain(&said.stdout);
    assert!(text.contains("discard") && too_wide(&text).is_empty(), "{text}");
    let whole = text.split_whitespace().filter(|word| word.parse::<Uuid>().is_ok());
    assert!(whole.count() >= 1, "{text}");
}

#[tokio::test]
async fn status_words_have_colours_only_where_somebody_wants_them() {
    let (world, _worker, _, _) = one_of_each().await;
    let asked = async |arguments: &[&str], name: &str, value: &str| {
        let mut terminal = on_terminal(&producer(&world, arguments, &[]));
        terminal.env_remove("NO_COLOR").env(name, value);
        run(terminal, LIMIT).await.expect(0).stdout
    };
    for value in ["xterm", "xterm-256color"] {
        let text = asked(&["status"], "TERM", value).await;
        assert!(text.contains("\u{1b}[31mfailed\u{1b}[39m") && text.contains("\u{1b}[32msuccess"), "{text:?}");
    }
    assert!(asked(&["status"], "NO_COLOR", "").await.contains("\u{1b}[31mfailed"));
    assert!(asked(&["status", "--help"], "TERM", "xterm").await.contains('\u{1b}'));
    for (name, value) in [("NO_COLOR", "1"), ("NO_COLOR", "no"), ("TERM", "dumb")] {
        for arguments in [&["status"][..], &["status", "--help"], &["dead", "list"]] {
            let text = asked(arguments, name, value).await;
            assert!(!text.contains('\u{1b}') && !text.is_empty(), "{name}={value} {arguments:?}: {text:?}");
        }
    }
    assert!(!asked(&["status", "--json"], "TERM", "xterm").await.contains('\u{1b}'));
}

#[tokio::test]
async fn commands_that_only_read_work_where_no_log_can_be_written() {
    let (world, _worker, batch, [_, failed]) = one_of_each().await;
    world.settled().await;
    let file = world.write("a-file", "");
    let folder = format!("{file}/logs");
    let asked = async |arguments: &[&str]| -> Said {
        run(producer(&world, arguments, &[("AURA_LOG_DIR", &folder)]), LIMIT).await
    };
    let (batch, failed) = (batch.to_string(), failed.to_string());
    let check = world.write("c.csv", csv("C", "2022-06", &[("10", "1")]));
    let reading: [&[&str]; 9] = [
        &["status"],
        &["status", &batch],
        &["dead", "list"],
        &["dead", "show", &failed],
        &["dead", "operations"],
        &["history", "--entity", "ABEX", "--period", "2022-06"],
        &["period", "list"],
        &["verify"],
        &["check", &check],
    ];
    for arguments in reading {
        let said = asked(arguments).await.expect(0);
        let told = said.stderr.matches("no log is written: cannot write logs to").count();
        assert_eq!(told, 1, "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(&folder), "{}", said.stderr);
    }
    for arguments in [&["sources", "list"][..], &["schema"]] {
        asked(arguments).await.expect(0);
    }
    let changing: [&[&str]; 5] = [
        &["verify", "--repair"],
        &["period", "lock", "--period", "2022-07"],
        &["dead", "discard", &failed, "--reason", "x"],
        &["cancel", &batch, "--reason", "x"],
        &["publish", "--file", &check, "--entity", "C", "--period", "2022-06"],
    ];
    for arguments in changing {
        let said = asked(arguments).await.expect(2);
        assert!(said.stderr.contains("error: cannot write logs to"), "{arguments:?}: {}", said.stderr);
    }
}

/// The commands that the help names, in its order.
async fn verbs(folder: &Path) -> Vec<String> {
    let said = alone(folder, &["help"]).await.expect(0);
    let commands = said.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = commands.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Runs the producer without any setting, in a folder whose settings cannot be read.
async fn alone(folder: &Path, arguments: &[&str]) -> Said {
    let mut producer = command("aura-producer", folder, &[]);
    producer.args(arguments);
    run(producer, LIMIT).await
}

#[tokio::test]
async fn each_shell_completes_every_command() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("aura.toml"), "no_such_setting = 1").expect("a file");
    let verbs = verbs(folder.path()).await;
    assert_eq!(verbs[verbs.len() - 3..], ["completions", "man", "help"], "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = alone(folder.path(), &["completions", shell]).await.expect(0).stdout;
        for word in verbs.iter().map(String::as_str).chain(["replay", "unlock", "operations", "watch"]) {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        if shell == "bash" {
            fs::write(folder.path().join("script"), &script).expect("a file");
            let mut bash = Command::new("bash");
            bash.args(["-n", "script"]).current_dir(folder.path());
            run(bash, LIMIT).await.expect(0);
        }
    }
    alone(folder.path(), &["completions", "tcsh"]).await.expect(2);
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("aura.toml"), "no_such_setting = 1").expect("a file");
    let pages = folder.path().join("share/man1");
    alone(folder.path(), &["man", pages.to_str().expect("text")]).await.expect(0);
    let page = |name: &str| fs::read_to_string(pages.join(format!("{name}.1"))).unwrap_or_else(|_| panic!("{name}.1"));
    for verb in verbs(folder.path()).await.iter().filter(|verb| *verb != "help") {
        let text = page(&format!("aura-producer-{verb}"));
        assert!(text.contains(".TH") && text.contains("SYNOPSIS"), "{text}");
    }
    for name in ["aura-producer-dead-replay", "aura-producer-period-unlock", "aura-producer-sources-show"] {
        page(name);
    }
    let printed = alone(folder.path(), &["man"]).await.expect(0).stdout;
    assert_eq!(printed, page("aura-producer"));
    let below_file = folder.path().join("aura.toml/man");
    alone(folder.path(), &["man", below_file.to_str().expect("text")]).await.expect(2);
}

/// `status --watch` on a terminal of its own, which writes to a file.
struct Watched {
    script: Child,
    output: std::path::PathBuf,
}

impl Watched {
    fn start(world: &World) -> Self {
        let output = world.path().join("screen");
        // The shell's number stays that of the program that it gives way to.
        let mut shell = Command::new("sh");
        let watch = producer(world, &["status", "--watch"], &[]);
        let words = std::iter::once(watch.get_program()).chain(watch.get_args());
        shell.args(["-c", "echo $$ > watch.pid; exec \"$@\"", "sh"]).args(words);
        shell.current_dir(world.path());
        for (name, value) in watch.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut script = tokio::process::Command::from(on_terminal(&shell));
        script.stdin(Stdio::piped()).stdout(fs::File::create(&output).expect("a file")).kill_on_drop(true);
        Self { script: script.spawn().expect("script runs"), output }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).expect("the output")).into_owned()
    }

    async fn until_shown(&self, text: &str) {
        let shown = async || self.text().contains(text).then_some(());
        until(&format!("the screen shows {text}"), SOON, shown).await;
    }

    /// Waits for its end; returns its exit code and what it left the terminal with.
    async fn end(mut self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(LIMIT, self.script.wait()).await.expect("it ends").expect("a status");
        (ended.code(), self.text())
    }
}

/// Makes sure that the terminal was given back, once, at the end.
#[track_caller]
fn assert_given_back(text: &str) {
    let (taken, given) = (text.find("\u{1b}[?1049h").expect("taken"), text.rfind("\u{1b}[?1049l").expect("given back"));
    assert!(taken < given && text[given..].len() < 20 && text.contains("\u{1b}[?25h"), "{:?}", &text[given..]);
}

#[tokio::test]
async fn one_screen_shows_live_what_is_going_on_and_gives_the_terminal_back() {
    let (world, _worker, _, _) = one_of_each().await;
    // Writes the letter down, if the worker has not.
    world.producer(&["dead", "list"]).await.expect(0);
    let mut watched = Watched::start(&world);
    for text in ["CONSUMERS", "aura.jobs", "WAITING", "row_invalid", "begun in the last ten minutes", "no job runs"] {
        watched.until_shown(text).await;
    }
    let file = world.write("d.csv", csv("D", "2022-06", &[("10", "1")]));
    world.send(job(&file, "A", "2022-06")).await;
    watched.until_shown("slice_not_found").await;
    let last = watched.text();
    let screen = last.rsplit("\u{1b}[1;1H").next().expect("a screen");
    assert!(screen.split("\u{1b}[").filter(|part| part.contains(";1H")).count() <= 24, "{screen:?}");
    watched.script.stdin.as_mut().expect("a pipe").write_all(b"q").await.expect("it reads");
    let (code, text) = watched.end().await;
    assert_eq!(code, Some(0), "{text}");
    assert_given_back(&text);
}

#[tokio::test]
async fn the_terminal_is_given_back_by_signals_and_by_ctrl_c() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let watched = Watched::start(&world);
        watched.until_shown("CONSUMERS").await;
        let pid = fs::read_to_string(world.path().join("watch.pid")).expect("a number");
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, pid.trim()]);
        run(kill, LIMIT).await.expect(0);
        let (code, text) = watched.end().await;
        assert_eq!(code, Some(0), "{signal}: {text}");
        assert_given_back(&text);
    }
    let mut watched = Watched::start(&world);
    watched.until_shown("no worker takes jobs").await;
    watched.script.stdin.as_mut().expect("a pipe").write_all(b"\x03").await.expect("it reads");
    let (code, text) = watched.end().await;
    assert_eq!(code, Some(0), "{text}");
    assert_given_back(&text);
}

#[tokio::test]
async fn a_screen_is_refused_where_there_is_no_terminal_and_for_programs() {
    let world = World::new().await;
    let said = world.producer(&["status", "--watch"]).await.expect(2);
    assert!(said.stderr.contains("terminal") && said.stdout.is_empty(), "{}", said.stderr);
    let said = run(on_terminal(&producer(&world, &["status", "--watch", "--json"], &[])), LIMIT).await.expect(2);
    assert!(said.stdout.contains("--json") && !said.stdout.contains("1049"), "{}", said.stdout);
    let batch = Uuid::new_v4().to_string();
    world.producer(&["status", &batch, "--watch"]).await.expect(2);
}
