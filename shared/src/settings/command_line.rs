//! Settings on the command line: a flag for each, and the page that lists them.

use std::{ffi::OsString, io::Write};

use clap::{Arg, ArgMatches, ColorChoice, Command};

use super::definitions::{DEFINITIONS, Definition};
use crate::{printable, terminal};

/// The page of the settings, below `help`, of a program that has several commands.
const PAGE: &str = "settings";
/// The flag of programs that answer with JSON.
const JSON: &str = "json";
/// The width of the page: that of the narrowest terminal that people use.
const WIDTH: usize = 80;
/// What a default begins with.
const DEFAULT: &str = "[default: ";
/// The same without a place at which the line may be broken.
const KEPT: &str = "[default:\u{a0}";

/// Reads the command line, with a flag for every setting. If it cannot be used, this says so and ends the process;
/// clap itself would show what was given as it is.
///
/// A program of one command lists the settings in its `--help`. In one of several they would bury each command's own
/// options, so that they have a page of their own, to which every help points.
pub fn read_command_line(command: Command) -> ArgMatches {
    let page = command.has_subcommands().then(|| page(command.get_name()));
    let is_json =
        command.get_arguments().any(|argument| argument.get_id() == JSON) && asks_for_json(std::env::args_os());
    // Otherwise clap would colour its help on a terminal that knows no colours, too, where it takes it for a CI's.
    let colors = if terminal::takes_colors(&std::io::stdout()) { ColorChoice::Auto } else { ColorChoice::Never };
    let matches = with_settings(command.color(colors)).try_get_matches().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let text = error.render().to_string();
        // Nobody may be listening; the exit code says the same.
        let text = printable::without_passwords(&text);
        let _ = write!(std::io::stderr(), "{}", printable::lines(&text));
        if is_json {
            let _ = writeln!(std::io::stdout(), "{}", printable::lines(&format!("{:#}", as_json(&text))));
        }
        std::process::exit(error.exit_code())
    });
    if let Some(page) = page.filter(|_| matches.subcommand_name() == Some(PAGE)) {
        // As with any help, a reader that has gone away is not an error.
        let _ = std::io::stdout().write_all(page.as_bytes());
        std::process::exit(0);
    }
    matches
}

/// Whether a program asks, which reads what is wrong from standard output.
fn asks_for_json(mut arguments: impl Iterator<Item = OsString>) -> bool {
    // What follows two dashes is no flag.
    arguments.find(|argument| argument == "--json" || argument == "--").is_some_and(|argument| argument == "--json")
}

/// What is wrong with a command line, as commands tell programs what is wrong: the message without its usage, and
/// what it lists below its first line.
fn as_json(text: &str) -> serde_json::Value {
    let mut lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let message = lines.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let faults: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    serde_json::json!({"error": {"message": message, "faults": faults}})
}

/// The settings that were given as flags.
pub fn from_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |key: &str| matches.try_get_one::<String>(key).ok().flatten().cloned();
    DEFINITIONS.iter().filter_map(|setting| Some((setting.key.to_owned(), given(setting.key)?))).collect()
}

/// Adds a flag for every setting to a command, and to a program of several commands the page that lists them.
pub fn with_settings(command: Command) -> Command {
    let has_page = command.has_subcommands();
    let command = DEFINITIONS.iter().fold(command, |command, setting| {
        command.arg(
            Arg::new(setting.key)
                .long(flag(setting))
                .value_name("VALUE")
                .global(true)
                .hide(has_page)
                .hide_short_help(!has_page)
                .help_heading("Settings (also AURA_… in the environment, and aura.toml)")
                .help(description(setting)),
        )
    });
    if !has_page {
        return command;
    }
    let name = command.get_name().to_owned();
    let command = in_one_form(command, &format!("Settings: {name} help {PAGE}"));
    // Hidden, since it is not something to do; whoever types it without `help` shall still find it.
    command.subcommand(Command::new(PAGE).hide(true).override_help(page(&name)))
}

/// Gives a command, and those below it, one help for `-h` and `--help`, in which each option takes a line if it can;
/// what there is to say beyond the first sentence goes below the options, with the last line.
fn in_one_form(command: Command, last: &str) -> Command {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let further = long.strip_prefix(&about).unwrap_or(&long).trim().to_owned();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let below: Vec<&str> = [&further, &after, last].into_iter().filter(|text| !text.is_empty()).collect();
    let command = command.long_about(None).after_help(below.join("\n\n"));
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |below| in_one_form(below, last)))
}

/// Every setting with its variable, its flag, its meaning and its default.
fn page(program: &str) -> String {
    let mut page = wrapped(
        &format!(
            "Settings of {program}. Each can be given as a flag of any command, as a variable of the environment, or \
             in aura.toml (or the file that AURA_CONFIG names), there without AURA_ and in small letters. Flags win \
             over the environment, that over the file, and that over the default."
        ),
        "",
    );
    for setting in DEFINITIONS {
        page.push_str(&format!("\n{}  --{} VALUE\n", setting.variable(), flag(setting)));
        page.push_str(&wrapped(&description(setting).replace(DEFAULT, KEPT), "    ").replace(KEPT, DEFAULT));
    }
    page
}

fn flag(setting: &Definition) -> String {
    setting.key.replace('_', "-")
}

fn description(setting: &Definition) -> String {
    let default = if setting.default.is_empty() { String::new() } else { format!(" {DEFAULT}{}]", setting.default) };
    format!("{}{default}", setting.meaning)
}

/// A text in lines of at most [`WIDTH`] characters.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = indent.to_owned();
    for word in text.split_inclusive(' ') {
        if line.len() > indent.len() && line.chars().count() + word.trim_end_matches(' ').chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = indent.to_owned();
        }
        line.push_str(word);
    }
    lines + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_command_line_is_told_to_programs_without_its_usage() {
        let given = |arguments: &[&str]| asks_for_json(arguments.iter().map(OsString::from));
        assert!(given(&["x", "status", "--json"]) && !given(&["x", "check", "--", "--json"]) && !given(&["x"]));
        let text = "error: these are missing:\n  --entity <E>\n\n  tip: look\n\nUsage: x y\n\nFor more information\n";
        let told = serde_json::json!({"message": "these are missing:", "faults": ["--entity <E>", "tip: look"]});
        assert_eq!(as_json(text)["error"], told);
    }

    #[test]
    fn the_page_has_every_setting_once_with_its_names_default_and_meaning() {
        let page = page("aura-producer");
        let heads: Vec<&str> = page.lines().filter(|line| line.starts_with("AURA_")).collect();
        let expected: Vec<String> =
            DEFINITIONS.iter().map(|setting| format!("{}  --{} VALUE", setting.variable(), flag(setting))).collect();
        assert_eq!(heads, expected);
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in DEFINITIONS {
            assert!(words.contains(&description(setting)), "{}", setting.key);
        }
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
    }

    #[test]
    fn a_program_of_one_command_lists_the_settings_itself() {
        let help = with_settings(Command::new("aura-worker")).render_long_help().to_string();
        for setting in DEFINITIONS {
            assert_eq!(help.matches(&format!("--{} <VALUE>", flag(setting))).count(), 1, "{}", setting.key);
        }
        assert!(!help.contains("help settings"), "{help}");
    }

    #[test]
    fn a_flag_counts_on_whatever_command_it_stands() {
        let program = Command::new("aura-producer").subcommand(Command::new("dead").subcommand(Command::new("list")));
        let given = ["aura-producer", "dead", "list", "--namespace", "n"];
        let matches = with_settings(program).try_get_matches_from(given).unwrap();
        assert_eq!(from_flags(&matches), [("namespace".to_owned(), "n".to_owned())]);
    }
}
