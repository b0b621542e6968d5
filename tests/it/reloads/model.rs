//! The rules of a reload, as simply as they can be written, and random files under them.

use std::{collections::BTreeMap, fmt::Write};

use tests::random::Random;

use super::PERIOD;

pub(super) type Key = (String, String);
/// A change that is kept: the number of the job, the account, the balance before and after, and the kind.
pub(super) type Change = (usize, Key, Option<i64>, Option<i64>, &'static str);
pub(super) type Texts = BTreeMap<String, String>;

/// A row as the ledger is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What the ERP owns: name, class, status, department; the last may lack.
    pub(super) texts: [Option<String>; 4],
    /// The balance, and the debits of the period, in hundredths.
    pub(super) amounts: [Option<i64>; 2],
    pub(super) criticality: String,
    pub(super) extra: Option<Texts>,
    pub(super) job: usize,
    pub(super) line: i64,
}

/// Which columns a file has beside the required ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) company: bool,
    pub(super) department: bool,
    pub(super) debit: bool,
    pub(super) criticality: bool,
    pub(super) extra: [bool; 2],
}

/// A slice of the ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) rows: BTreeMap<Key, Row>,
    /// Accounts that the newest file lacked.
    pub(super) absent: Vec<Key>,
    /// Job, key, old and new balance, kind.
    pub(super) changes: Vec<Change>,
}

impl Ledger {
    /// Loads a file's rows as the rules say: inserted, updated, unchanged, deleted, absent.
    pub(super) fn load(&mut self, file: &BTreeMap<Key, Row>, shape: Shape, replaces: bool, job: usize) -> [u64; 5] {
        let [mut inserted, mut updated, mut unchanged] = [0; 3];
        let mut of_job = Vec::new();
        let has_rows = !self.rows.is_empty();
        for (key, given) in file {
            let Some(before) = self.rows.get(key) else {
                if has_rows {
                    of_job.push((job, key.clone(), None, given.amounts[0], "inserted"));
                }
                self.rows.insert(key.clone(), given.clone());
                inserted += 1;
                continue;
            };
            let mut after = before.clone();
            after.texts[..3].clone_from_slice(&given.texts[..3]);
            after.amounts[0] = given.amounts[0];
            if shape.department || replaces {
                after.texts[3].clone_from(&given.texts[3]);
            }
            if shape.debit || replaces {
                after.amounts[1] = given.amounts[1];
            }
            match &given.extra {
                extra if replaces => after.extra.clone_from(extra),
                Some(extra) => after.extra.get_or_insert_default().extend(extra.clone()),
                None => {}
            }
            if after == *before {
                unchanged += 1;
                continue;
            }
            updated += 1;
            let (old, new) = (before.amounts[0].expect("a value"), after.amounts[0].expect("a value"));
            if old != new || before.texts[..3] != after.texts[..3] {
                of_job.push((
                    job,
                    key.clone(),
                    Some(old),
                    Some(new),
                    if old == new { "relabelled" } else { "updated" },
                ));
            }
            (after.job, after.line) = (job, given.line);
            self.rows.insert(key.clone(), after);
        }
        let missing: Vec<Key> = self.rows.keys().filter(|key| !file.contains_key(*key)).cloned().collect();
        let number = missing.len() as u64;
        self.absent = if replaces { Vec::new() } else { missing.clone() };
        if replaces {
            for key in missing {
                let gone = self.rows.remove(&key).expect("a value");
                of_job.push((job, key, gone.amounts[0], None, "deleted"));
            }
        }
        of_job.sort();
        self.changes.extend(of_job);
        [inserted, updated, unchanged, if replaces { number } else { 0 }, self.absent.len() as u64]
    }
}

/// A file: some of the ledger's rows as they are, some changed, some new; its text, and its rows as new ones.
pub(super) fn file(
    random: &mut Random,
    entity: &str,
    ledger: &Ledger,
    job: usize,
) -> (String, BTreeMap<Key, Row>, Shape) {
    let mut one = |share| random.percent(share);
    let shape = Shape {
        company: one(50),
        department: one(50),
        debit: one(50),
        criticality: one(50),
        extra: [one(40), one(30)],
    };
    let mut rows = BTreeMap::new();
    for account in 0..12 {
        let company = if shape.company { random.one_of(&["10", "20", entity]) } else { entity };
        let key = (company.to_owned(), format!("{account:03}"));
        if random.percent(75) {
            rows.insert(key.clone(), row(random, shape, ledger.rows.get(&key), job));
        }
    }
    if rows.is_empty() {
        rows.insert((entity.to_owned(), "000".to_owned()), row(random, shape, None, job));
    }
    let mut order: Vec<Key> = rows.keys().cloned().collect();
    random.shuffle(&mut order);
    let mut text = String::from("entity,period,account_code,account_name,balance,bs_pl,status");
    let optional = [
        (shape.company, ",company_code"),
        (shape.department, ",department"),
        (shape.debit, ",debit_period"),
        (shape.criticality, ",criticality"),
        (shape.extra[0], ",Cost Center"),
        (shape.extra[1], ",no"),
    ];
    optional.iter().filter(|(is_there, _)| *is_there).for_each(|(_, name)| text += name);
    text += "\n";
    for (number, key) in order.iter().enumerate() {
        let row = rows.get_mut(key).expect("a value");
        row.line = number as i64 + 2;
        let [name, class, status, department] = row.texts.each_ref().map(|text| text.as_deref().unwrap_or_default());
        // The same amount may be written in several ways.
        let zeros = random.one_of(&["", "00"]);
        let balance = format!("{}{zeros}", with_point(row.amounts[0].expect("a value")));
        write!(text, "{entity},{PERIOD},{},\"{name}\",{balance},{class},{status}", key.1).expect("a value");
        let extra = row.extra.clone().unwrap_or_default();
        let cell = |name: &str| extra.get(name).cloned().unwrap_or_default();
        let cells = [
            key.0.clone(),
            department.to_owned(),
            row.amounts[1].map(with_point).unwrap_or_default(),
            row.criticality.clone(),
            cell("Cost Center"),
            cell("no"),
        ];
        for (cell, _) in cells.iter().zip(optional).filter(|(_, (is_there, _))| *is_there) {
            write!(text, ",{cell}").expect("a value");
        }
        text += "\n";
    }
    (text, rows, shape)
}

/// A row of a file; of what the ledger has, most stays.
fn row(random: &mut Random, shape: Shape, before: Option<&Row>, job: usize) -> Row {
    let mut text = |choices: [&str; 3], before: Option<String>, share| match before {
        Some(before) if !random.percent(share) => before,
        _ => random.one_of(&choices).to_owned(),
    };
    let of = |place: usize| before.and_then(|row| row.texts[place].clone());
    let texts = [
        Some(text(["Cash", "Bank, \"Main\"", "Käse"], of(0), 10).replace('"', "'")),
        Some(text(["BS", "PL", "OT"], of(1), 5)),
        Some(text(["Assets", "Liabilities", "Income"], of(2), 5)),
        shape.department.then(|| text(["R2R", "P2P", "O2C"], of(3), 10)),
    ];
    let extra =
        |place: usize, name: &str| before.and_then(|row| row.extra.as_ref()?.get(name).cloned()).filter(|_| place < 2);
    let names = ["Cost Center", "no"];
    let extra: Texts = names
        .iter()
        .enumerate()
        .filter(|(place, _)| shape.extra[*place])
        .map(|(place, name)| ((*name).to_owned(), text(["7", " 08", "x\\y"], extra(place, name), 10)))
        .collect();
    let criticality = if shape.criticality { text(["high", "low", "medium"], None, 100) } else { "medium".to_owned() };
    let mut amount = |before: Option<i64>| match before {
        Some(before) if !random.percent(20) => before,
        _ => random.between(0, 2_000_000) as i64 - 1_000_000,
    };
    let balance = amount(before.and_then(|row| row.amounts[0]));
    let debit = shape.debit.then(|| amount(before.and_then(|row| row.amounts[1])));
    let extra = (shape.extra != [false, false]).then_some(extra);
    Row { texts, amounts: [Some(balance), debit], criticality, extra, job, line: 0 }
}

/// Hundredths with two decimals.
fn with_point(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// The same without zeros at its end.
pub(super) fn decimal(hundredths: i64) -> String {
    with_point(hundredths).trim_end_matches('0').trim_end_matches('.').to_owned()
}
