//! Accounts that are the sum of others: groups and subtotals, which count twice beside them.

use std::collections::BTreeSet;

use shared::amount::Amount;

/// An account and its balance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) company: &'a str,
    pub(super) code: &'a str,
    pub(super) balance: Amount,
}

/// Rows past which a sum that stands beside it may be chance.
const SMALL: usize = 400;
/// Rows that are added up at most, in search of a sum.
const REACH: usize = 200;

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

/// Those that are the sum of two or more rows of their own sign beside them: of those that follow, or of those before.
fn beside(entries: &[Entry<'_>]) -> BTreeSet<usize> {
    let after = summed(entries, (0..entries.len()).rev());
    let before = summed(entries, 0..entries.len());
    if before.len() > after.len() { before } else { after }
}

/// Goes through the rows from one end; what was gone through and belongs to no group yet may make up the next one.
fn summed(entries: &[Entry<'_>], order: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let (mut found, mut open): (BTreeSet<usize>, Vec<usize>) = Default::default();
    let mut of_one = Vec::new();
    for place in order {
        let Entry { company, balance, .. } = entries[place];
        let (mut sum, mut parts, mut taken, mut is_of_one) = (0_i128, 0, None, false);
        for (length, other) in open.iter().rev().take(REACH).enumerate() {
            let other = entries[*other];
            let is_turned = (other.balance < Amount::ZERO) != (balance < Amount::ZERO);
            if other.company != company || is_turned && other.balance != Amount::ZERO || balance == Amount::ZERO {
                break;
            }
            sum = sum.saturating_add(other.balance.units());
            parts += u32::from(other.balance != Amount::ZERO);
            if length == 0 && sum == balance.units() && is_rounder(entries[place].code, other.code) {
                (taken, is_of_one) = (Some(1), true);
                break;
            }
            if parts > 1 && sum == balance.units() {
                taken = Some(length + 1);
                break;
            }
            if sum.unsigned_abs() > balance.units().unsigned_abs() {
                break;
            }
        }
        if let Some(length) = taken {
            open.truncate(open.len() - length);
            if is_of_one {
                of_one.push(place);
            } else {
                found.insert(place);
            }
        }
        open.push(place);
    }
    // One of one account alone may be chance.
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
    }
}
