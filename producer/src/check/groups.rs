//! Accounts that are the sum of others: groups, which count twice beside them.

use std::collections::BTreeMap;

use shared::amount::Amount;

/// The codes of accounts that are the sum of the deepest ones whose codes begin with theirs, within a company. One
/// alone may be chance.
pub(super) fn groups<'a>(balances: &BTreeMap<(&'a str, &'a str), Amount>) -> Vec<&'a str> {
    let accounts: Vec<(&str, &str, Amount)> =
        balances.iter().map(|((company, code), balance)| (*company, *code, *balance)).collect();
    let below = |place: usize| {
        let (company, code, _) = accounts[place];
        accounts[place + 1..].iter().take_while(move |(other, longer, _)| *other == company && longer.starts_with(code))
    };
    let is_group = |place: &usize| {
        let deepest = (place + 1..=place + below(*place).count()).filter(|place| below(*place).next().is_none());
        let sum = deepest
            .map(|place| accounts[place].2.units())
            .try_fold(None, |sum: Option<i128>, units| sum.unwrap_or(0).checked_add(units).map(Some));
        let (_, _, balance) = accounts[*place];
        balance != Amount::ZERO && sum == Some(Some(balance.units()))
    };
    let groups: Vec<&str> = (0..accounts.len()).filter(is_group).map(|place| accounts[place].1).collect();
    if groups.len() > 1 { groups } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(accounts: &[(&'static str, &'static str, &str)]) -> Vec<&'static str> {
        let amount = |text: &str| text.parse().expect("an amount");
        groups(&accounts.iter().map(|(company, code, balance)| ((*company, *code), amount(balance))).collect())
    }

    #[test]
    fn accounts_that_are_the_sum_of_the_deepest_below_them_are_groups() {
        let books = [("A", "1", "8"), ("A", "11", "8"), ("A", "111", "5"), ("A", "112", "3"), ("A", "2", "-8")];
        assert_eq!(found(&books), ["1", "11"]);
        assert_eq!(found(&[("A", "1", "5"), ("B", "11", "5"), ("A", "2", "7"), ("B", "21", "7")]), [""; 0]);
        assert_eq!(found(&[("A", "10", "5"), ("A", "100", "6"), ("A", "20", "0"), ("A", "200", "0")]), [""; 0]);
        assert_eq!(found(&[("A", "10", "5"), ("A", "100", "5")]), [""; 0], "one may be chance");
    }
}
