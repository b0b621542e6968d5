//! Drafts of mapping profiles do no harm: whatever is answered, what loads is the ledger, or what was announced.

use shared::{
    amount::Amount,
    file::{
        mapping_profile::MappingProfile,
        trial_balance::{self, LedgerRow, RowSink, read_until_settled},
    },
    message::failure::{BadRow, Failure},
    slice::Slice,
};
use tests::random::Random;

use crate::{reading::request, world::World};

const LEDGERS: u64 = 30;

/// A ledger in cents, and how its file is written.
struct Written {
    text: String,
    closing: i128,
}

struct Nothing;

impl RowSink for Nothing {
    fn good(&mut self, _: &LedgerRow<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn rejected(&mut self, _: &BadRow, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// A random trial balance: one amount, several of which one is the closing balance, two sides, or an indicator.
fn written(random: &mut Random) -> Written {
    let comma = random.percent(50);
    let delimiter = if comma { ';' } else { random.one_of(&[',', ';', '\t']) };
    let cents = |units: i64| {
        let mark = if comma { ',' } else { '.' };
        let sign = if units < 0 { "-" } else { "" };
        format!("{sign}{}{mark}{:02}", units.abs() / 100, units.abs() % 100)
    };
    let shape = random.between(0, 4);
    let amounts: &[&str] = match shape {
        0 => &["Balance"],
        1 => &["Opening", "Movement", "Closing"],
        2 | 3 => &["Debit", "Credit"],
        _ => &["Amount", "D/C"],
    };
    let titles = random.between(0, 2);
    let mut text: String = (0..titles).map(|_| "Trial balance of the group\n").collect();
    let line = |cells: &[String]| cells.join(&delimiter.to_string()) + "\n";
    let heading = ["Account No.", "Account Name", "Class"].iter().chain(amounts);
    text += &line(&heading.map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let mut closing = 0;
    for row in 0..random.between(2, 12) {
        let code = if random.percent(20) { 1000 } else { 1000 + row };
        // At least one figure with decimals tells the mark.
        let (units, other) = (random.between(1, 90_000) as i64 * 2 + 1, random.between(1, 90_000) as i64);
        let units = if random.percent(50) { units } else { -units };
        closing += i128::from(units);
        let mut cells = vec![code.to_string(), format!("Account {code}"), "BS".to_owned()];
        match shape {
            0 => cells.push(cents(units)),
            1 => cells.extend([cents(units - other), cents(other), cents(units)]),
            // Credits that carry their minus, and those that do not.
            2 | 3 if units > 0 => cells.extend([cents(units), String::new()]),
            2 => cells.extend([String::new(), cents(-units)]),
            3 => cells.extend([String::new(), cents(units)]),
            _ => cells.extend([cents(units.abs()), if units > 0 { "D" } else { "C" }.to_owned()]),
        }
        text += &line(&cells);
    }
    Written { text, closing: closing * 10_i128.pow(14) }
}

/// What a draft asks, and every answer with the sum that it announces, if it does.
fn answers(key: &str, comment: &str, draft: &str) -> Vec<(String, Option<Amount>)> {
    let behind =
        |text: &str, mark: &str| text.split(mark).nth(1).and_then(|rest| rest.split([')', ',']).next()?.parse().ok());
    match key {
        "repeated_keys" => {
            vec![("\"sum\"".to_owned(), None), ("\"last\"".to_owned(), None), ("\"refuse\"".to_owned(), None)]
        }
        "signed" => vec![
            ("true".to_owned(), behind(comment, "the rows sum to ")),
            ("false".to_owned(), behind(comment, "subtracted (")),
        ],
        "balance" => {
            let candidates = draft.lines().filter_map(|line| line.strip_prefix("#   \""));
            let named = candidates.filter_map(|line| {
                let (name, rest) = line.split_once("\": ")?;
                Some((format!("\"{name}\""), rest.split("sum to ").nth(1)?.parse().ok()))
            });
            named.collect()
        }
        "status" => vec![("{ value = \"Assets\" }".to_owned(), None)],
        "bs_pl" => vec![("{ value = \"BS\" }".to_owned(), None)],
        other => panic!("a question that no test answers: {other}\n{draft}"),
    }
}

/// Every way to complete a draft: the profile, and the sum that was announced for it.
fn completed(draft: &str) -> Vec<(String, Option<Amount>)> {
    let mut all = vec![(String::new(), None)];
    for line in draft.lines() {
        let options = match line.split_once(" = \"?\"") {
            Some((key, comment)) => answers(key, comment, draft)
                .into_iter()
                .map(|(answer, announced)| (format!("{key} = {answer}\n"), announced))
                .collect(),
            None => vec![(format!("{line}\n"), None)],
        };
        let grown = all.iter().flat_map(|(text, told): &(String, Option<Amount>)| {
            options.iter().map(move |(line, announced)| (format!("{text}{line}"), announced.or(*told)))
        });
        all = grown.collect();
    }
    all
}

#[tokio::test]
async fn no_completed_draft_loads_other_figures_than_the_ledgers_or_those_it_announced() {
    let world = World::new().await;
    let (mut loaded, mut announced_ones) = (0, 0);
    for seed in 0..LEDGERS {
        let written = written(&mut Random::new(seed));
        let file = world.write("a.csv", &written.text);
        let draft = world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout;
        for (toml, announced) in completed(&draft) {
            let told = || format!("seed {seed}\n{toml}\n--- of ---\n{}", written.text);
            let profile = MappingProfile::parse("draft".parse().unwrap(), &toml);
            let profile = profile.unwrap_or_else(|invalid| panic!("{invalid}\n{}", told()));
            let slice = Slice { entity: "A".parse().unwrap(), period: "2022-06".parse().unwrap() };
            let request = request(&slice, &profile);
            let read = read_until_settled(|assumptions| {
                trial_balance::read(written.text.as_bytes(), &request, assumptions, &mut Nothing)
            });
            // What is refused does no harm.
            let Ok(checked) = read else { continue };
            let ledger = Amount::from_units(written.closing).unwrap();
            assert_eq!(checked.balance_sum, announced.unwrap_or(ledger), "{}", told());
            loaded += 1;
            announced_ones += u32::from(announced.is_some_and(|announced| announced != ledger));
        }
    }
    assert!(loaded > LEDGERS as u32 && announced_ones > 0, "{loaded} loaded, {announced_ones} of them as announced");
}
