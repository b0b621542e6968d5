//! Accounts that are the sum of others: groups and subtotals, which count twice beside them.

use std::collections::{BTreeSet, HashMap};

use shared::amount::Amount;

/// An account and its balance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) company: &'a str,
    pub(super) code: &'a str,
    pub(super) balance: Amount,
}

/// Rows past which one sum that stands beside its parts may be chance.
const SMALL: usize = 400;

/// The places of accounts that are the sum of others; the entries are in the order of the file. They are the sum of the
/// deepest ones whose codes begin with theirs, or of the rows that follow them or come before.
pub(super) fn groups(entries: &[Entry<'_>]) -> BTreeSet<usize> {
    let mut found = by_code(entries);
    let beside = beside(entries);
    if entries.len() <= SMALL || beside.len() > 1 {
        found.extend(beside);
    }
    found
}

/// Those that are the sum of the deepest ones whose codes begin with theirs, within a company. One of one alone may be
/// chance.
fn by_code(entries: &[Entry<'_>]) -> BTreeSet<usize> {
    let mut sorted: Vec<usize> = (0..entries.len()).collect();
    sorted.sort_by_key(|place| (entries[*place].company, entries[*place].code));
    let below = |place: usize| {
        let Entry { company, code, .. } = entries[sorted[place]];
        let others = sorted[place + 1..].iter().map(|place| entries[*place]);
        others.take_while(move |other| other.company == company && other.code.starts_with(code) && !code.is_empty())
    };
    let deepest = |place: usize| {
        let all = place + 1..=place + below(place).count();
        all.filter(|place| below(*place).next().is_none()).map(|place| entries[sorted[place]].balance)
    };
    let is_group = |place: &usize| {
        let balance = entries[sorted[*place]].balance;
        balance != Amount::ZERO && below(*place).next().is_some() && total(deepest(*place)) == Some(balance.units())
    };
    let groups: Vec<usize> = (0..entries.len()).filter(is_group).collect();
    let is_sum = |place: &usize| deepest(*place).filter(|balance| *balance != Amount::ZERO).nth(1).is_some();
    let several = groups.len() > 1 || groups.iter().any(is_sum);
    if several { groups.into_iter().map(|place| sorted[place]).collect() } else { BTreeSet::new() }
}

/// Those that are the sum of two or more rows beside them: of those that follow, or of those before.
fn beside(entries: &[Entry<'_>]) -> BTreeSet<usize> {
    let after = summed(entries, (0..entries.len()).rev());
    let before = summed(entries, 0..entries.len());
    if before.len() > after.len() { before } else { after }
}

/// What was gone through and belongs to no group yet: it may make up the next one.
#[derive(Default)]
struct Open {
    places: Vec<usize>,
    /// The sum of all before each of them, and of all.
    sums: Vec<i128>,
    /// How many before each are not nil.
    parts: Vec<usize>,
    /// By sum, where it stands.
    by_sum: HashMap<i128, Vec<usize>>,
}

impl Open {
    fn push(&mut self, place: usize, balance: i128) {
        let (sum, parts) = (self.sums.last().copied().unwrap_or(0), self.parts.last().copied().unwrap_or(0));
        if self.sums.is_empty() {
            self.sums.push(0);
            self.parts.push(0);
            self.by_sum.entry(0).or_default().push(0);
        }
        let sum = sum.wrapping_add(balance);
        self.by_sum.entry(sum).or_default().push(self.sums.len());
        self.places.push(place);
        self.sums.push(sum);
        self.parts.push(parts + usize::from(balance != 0));
    }

    fn truncate(&mut self, length: usize) {
        for sum in self.sums.drain(length + 1..) {
            if let Some(places) = self.by_sum.get_mut(&sum) {
                places.pop();
            }
        }
        self.parts.truncate(length + 1);
        self.places.truncate(length);
    }

    /// From where on those that are open sum to this, the fewest of them that do, if several are not nil.
    fn summing_to(&self, balance: i128) -> Option<usize> {
        let (sum, parts) = (self.sums.last()?, self.parts.last()?);
        let from = self.by_sum.get(&sum.wrapping_sub(balance))?;
        from.iter().rev().copied().find(|from| parts - self.parts[*from] > 1)
    }
}

/// Goes through the rows of each company from one end.
fn summed(entries: &[Entry<'_>], order: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let (mut found, mut of_one, mut mixed) = (BTreeSet::new(), Vec::new(), Vec::new());
    let (mut open, mut company) = (Open::default(), None);
    for place in order {
        let entry = entries[place];
        let balance = entry.balance.units();
        if company.replace(entry.company) != Some(entry.company) {
            open = Open::default();
        }
        let nearest = open.places.last().map(|nearest| entries[*nearest]);
        if balance != 0
            && nearest.is_some_and(|other| other.balance == entry.balance && is_rounder(entry.code, other.code))
        {
            open.truncate(open.places.len() - 1);
            of_one.push(place);
        } else if let Some(from) = open.summing_to(balance).filter(|_| balance != 0) {
            let is_turned = |other: &usize| entries[*other].balance.units().signum() == -balance.signum();
            if open.places[from..].iter().any(is_turned) {
                mixed.push(place)
            } else {
                _ = found.insert(place)
            }
            open.truncate(from);
        }
        open.push(place, balance);
    }
    // One alone may be chance, if its parts have both signs or it has one part.
    if mixed.len() > 1 || !found.is_empty() {
        found.extend(mixed);
    }
    if !found.is_empty() {
        found.extend(of_one);
    }
    found
}

/// Whether a code is as long as another and ends with more zeros, as `1000` beside `1010`.
fn is_rounder(code: &str, other: &str) -> bool {
    let zeros = |code: &str| code.len() - code.trim_end_matches('0').len();
    code.len() == other.len() && zeros(code) > zeros(other)
}

fn total(mut amounts: impl Iterator<Item = Amount>) -> Option<i128> {
    amounts.try_fold(0_i128, |sum, amount| sum.checked_add(amount.units()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(accounts: &[(&'a str, &'a str, &str)]) -> Vec<&'a str> {
        let amount = |text: &str| text.parse().expect("an amount");
        let entry =
            |(company, code, balance): &(&'a str, &'a str, &str)| Entry { company, code, balance: amount(balance) };
        groups(&accounts.iter().map(entry).collect::<Vec<_>>()).into_iter().map(|place| accounts[place].1).collect()
    }

    #[test]
    fn accounts_that_are_the_sum_of_the_deepest_below_them_are_groups() {
        let books = [("A", "1", "8"), ("A", "2", "-8"), ("A", "11", "8"), ("A", "111", "5"), ("A", "112", "3")];
        assert_eq!(found(&books), ["1", "11"]);
        assert_eq!(found(&[("A", "1", "5"), ("B", "11", "5"), ("A", "2", "7"), ("B", "21", "7")]), [""; 0]);
        assert_eq!(found(&[("A", "10", "5"), ("A", "100", "6"), ("A", "20", "0"), ("A", "200", "0")]), [""; 0]);
        assert_eq!(found(&[("A", "10", "5"), ("A", "100", "5")]), [""; 0], "one of one may be chance");
        assert_eq!(found(&[("A", "10", "5"), ("A", "20", "-5"), ("A", "101", "2"), ("A", "102", "3")]), ["10"]);
    }

    #[test]
    fn rows_that_are_the_sum_of_those_beside_them_are_groups_whatever_their_codes() {
        let padded = [
            ("", "1000", "12"),
            ("", "1010", "7"),
            ("", "1020", "5"),
            ("", "2000", "-12"),
            ("", "2010", "-4"),
            ("", "2020", "-8"),
        ];
        assert_eq!(found(&padded), ["1000", "2000"]);
        let after: Vec<_> = padded.iter().copied().rev().collect();
        assert_eq!(found(&after), ["2000", "1000"]);
        let nested =
            [("", "a", "12"), ("", "b", "7"), ("", "c", "3"), ("", "d", "4"), ("", "e", "5"), ("", "f", "-12")];
        assert_eq!(found(&nested), ["a", "b"]);
        let of_one = [padded.as_slice(), &[("", "3000", "6"), ("", "3010", "6")]].concat();
        assert_eq!(found(&of_one), ["1000", "2000", "3000"]);
        assert_eq!(found(&[("", "3000", "6"), ("", "3010", "6")]), [""; 0], "one of one alone");
        assert_eq!(found(&[("", "1", "5"), ("", "2", "7"), ("", "3", "-2"), ("", "4", "-10")]), [""; 0], "other signs");
        assert_eq!(found(&[("", "1", "5"), ("", "2", "5"), ("", "3", "0"), ("", "4", "-10")]), [""; 0], "one alone");
        let both_signs = [
            ("", "1010", "900.10"),
            ("", "1020", "-300.05"),
            ("", "1030", "155.25"),
            ("", "1999", "755.30"),
            ("", "2010", "-955.30"),
            ("", "2020", "200.00"),
            ("", "2999", "-755.30"),
        ];
        assert_eq!(found(&both_signs), ["1999", "2999"]);
        let codes: Vec<String> = (0..5_000).map(|code| format!("{code:05}x")).collect();
        let many = codes.iter().map(|code| ("", code.as_str(), "0.01")).chain([("", "T", "50")]);
        let many: Vec<_> = many.chain([("", "x", "-20"), ("", "y", "-30"), ("", "U", "-50")]).collect();
        assert_eq!(found(&many), ["T", "U"], "however many");
        let other_company = [("A", "1", "2"), ("A", "2", "3"), ("B", "3", "5"), ("B", "4", "-5")];
        assert_eq!(found(&other_company), [""; 0]);
    }
}
