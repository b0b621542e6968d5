//! Rows that may be none of accounts, and columns that tell books apart: what a draft asks about them.

use std::collections::BTreeMap;

use shared::{
    amount::{Amount, Sum},
    file::trial_balance::names_total,
};

use super::{
    super::{
        dividing::{Divides, DividingColumn, divides},
        groups::{Entry, groups},
    },
    amounts::{Candidate, shown},
    headings::Heading,
    quoted,
    sections::Sections,
};

/// Rows in doubt that are named.
const DOUBTS: usize = 400;

impl Sections<'_> {
    /// What is asked where rows may be none of accounts: groups and totals, which count twice, and titles.
    pub(super) fn doubts(&self) -> Option<String> {
        let table = self.table;
        let key = table.key()?;
        let code = |row: &Vec<String>| row.get(key).map_or("", |cell| cell.trim()).to_owned();
        let codes: Vec<String> = table.rows.iter().map(code).collect();
        let groups = self.groups(&codes);
        let name_at = table.at(Heading::Target("account_name"));
        let calls_itself_total = |row: &Vec<String>, code: &str| {
            names_total(code) || name_at.and_then(|place| row.get(place)).is_some_and(|name| names_total(name))
        };
        let has_digit = |code: &str| code.bytes().any(|byte| byte.is_ascii_digit());
        let is_title =
            |row: &Vec<String>| row.len() > 1 && row.iter().filter(|cell| !cell.trim().is_empty()).count() < 2;
        let rows = || table.rows.iter().zip(&codes).filter(|(row, _)| !is_title(row));
        let are_codes = rows().filter(|(_, code)| has_digit(code)).count() * 10 >= rows().count() * 7;
        let (mut others, mut titles) = (Vec::new(), Vec::new());
        for (row, code) in table.rows.iter().zip(&codes) {
            if is_title(row) {
                titles.push(code.as_str());
            } else if are_codes && !has_digit(code) || calls_itself_total(row, code) {
                others.push(code.as_str());
            }
        }
        let mut all: Vec<&str> = Vec::new();
        for code in groups.iter().map(String::as_str).chain(others.iter().copied()).chain(titles.iter().copied()) {
            if !all.contains(&code) {
                all.push(code);
            }
        }
        if all.is_empty() {
            return None;
        }
        let mut lines = Vec::new();
        if !groups.is_empty() {
            lines.push(format!(
                "# {} accounts are the sum of others: groups, which count twice if they are kept.",
                groups.len()
            ));
        }
        if !others.is_empty() {
            lines.push(format!(
                "# {} rows have no number where others have one, or call themselves a total.",
                others.len()
            ));
        }
        if !titles.is_empty() {
            let rows = titles.len();
            lines.push(format!(
                "# {rows} rows have one cell: titles? What they say of the rows below, as a company or a period, is not read."
            ));
        }
        if all.len() > DOUBTS {
            lines.push(format!(
                "keep = \"?\"   # they are {}, too many to be listed: name them by another column or a pattern; [] keeps all",
                all.len()
            ));
            return Some(lines.join("\n"));
        }
        let told = |with_them: bool| {
            let Some(only) = self.amounts.only() else { return String::new() };
            let rows = codes.iter().zip(&only.amounts);
            let these = rows.filter(|(code, _)| with_them || !all.contains(&code.as_str()));
            let these: Vec<Amount> = these.filter_map(|(_, amount)| *amount).collect();
            let debit = these.iter().copied().filter(|amount| *amount > Amount::ZERO);
            let rows = if with_them { ", which" } else { ", and the rows" };
            format!("{rows} sum to {}, debit {}", shown(these.iter().copied()), shown(debit))
        };
        let column = table.name(key);
        let texts = all.iter().map(|code| quoted(code)).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "keep = \"?\"   # [{{ column = {column}, is_not = [{texts}] }}] leaves them out{}; [] keeps all{}",
            told(false),
            told(true)
        ));
        Some(lines.join("\n"))
    }

    /// The accounts that are the sum of others, by the first reading by which some are.
    fn groups(&self, codes: &[String]) -> Vec<String> {
        // A number and a name may stand in one cell.
        let number = |code: &'_ str| match code.split_once([' ', '\t']) {
            Some((number, _)) if number.starts_with(|c: char| c.is_ascii_digit()) => {
                number.trim_end_matches(',').to_owned()
            }
            _ => code.to_owned(),
        };
        let numbers: Vec<String> = codes.iter().map(|code| number(code)).collect();
        // Amounts without their signs add up to much that is no group.
        let is_signed =
            |candidate: &&Candidate| candidate.amounts.iter().flatten().any(|amount| *amount < Amount::ZERO);
        let has_signed = self.amounts.candidates.iter().any(|candidate| is_signed(&candidate));
        for candidate in self.amounts.candidates.iter().filter(|candidate| !has_signed || is_signed(candidate)) {
            let mut places: BTreeMap<&str, usize> = BTreeMap::new();
            let mut sums: Vec<(usize, Sum)> = Vec::new();
            for (place, (code, amount)) in numbers.iter().zip(&candidate.amounts).enumerate() {
                let at = *places.entry(code).or_insert(sums.len());
                if at == sums.len() {
                    sums.push((place, Sum::default()));
                }
                if let Some((_, sum)) = sums.get_mut(at) {
                    sum.add(amount.unwrap_or_default());
                }
            }
            let entry = |(place, sum): &(usize, Sum)| {
                let balance = sum.total()?;
                Some((*place, Entry { company: "", code: numbers.get(*place)?, balance }))
            };
            let (places, entries): (Vec<usize>, Vec<Entry<'_>>) = sums.iter().filter_map(entry).unzip();
            let found: Vec<String> =
                groups(&entries).into_iter().filter_map(|group| codes.get(*places.get(group)?).cloned()).collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The columns that tell books or periods apart and that the draft does not read: what is in one slice has the same.
    pub(super) fn same(&self) -> Option<String> {
        let table = self.table;
        let is_read = |place: usize| {
            let read = |heading: Heading| !matches!(heading, Heading::Year);
            table.found.iter().any(|(heading, known)| *known == place && read(*heading))
                || self.amount_places().contains(&place)
        };
        let reads_period = table.at(Heading::Target("period")).is_some();
        let (mut names, mut several) = (Vec::new(), Vec::new());
        for place in (0..table.width()).filter(|place| !is_read(*place) && !table.header[*place].is_empty()) {
            let counts = |divides: Divides| match divides {
                Divides::Books => true,
                // The formats of dates are told where the period is asked for.
                Divides::Periods => !reads_period && table.formats(place).is_empty(),
            };
            let name = table.name(place);
            match self.divided(place) {
                Some((divides, _)) if !counts(divides) => {}
                Some((_, told)) => {
                    several.push(told.replace(char::is_control, " "));
                    names.push(name);
                }
                None if divides(&table.headings[place]).is_some_and(counts) && table.cells(place).next().is_some() => {
                    names.push(name);
                }
                None => {}
            }
        }
        let list = names.join(", ");
        match (names.is_empty(), several.is_empty()) {
            (true, _) => None,
            (false, true) => Some(format!("same = [{list}]   # rows of another one are bad")),
            (false, false) => Some(format!(
                "same = \"?\"   # {}; [{list}] refuses a file with several, [] loads all of them into one slice",
                several.join("; ")
            )),
        }
    }

    /// What a column tells apart, if its rows are of several books or periods.
    fn divided(&self, place: usize) -> Option<(Divides, String)> {
        let table = self.table;
        let mut column = DividingColumn::new(table.headings[place].clone());
        let cell = |row: &Vec<String>, place: usize| row.get(place).map_or("", |cell| cell.trim()).to_owned();
        let amounts = self.amounts.candidates.first().map(|candidate| candidate.amounts.as_slice()).unwrap_or_default();
        for (number, row) in table.rows.iter().enumerate() {
            let account = table.key().map(|key| cell(row, key)).unwrap_or_default();
            column.add(&cell(row, place), "", &account, amounts.get(number).copied().flatten().unwrap_or_default());
        }
        column.told()
    }
}
