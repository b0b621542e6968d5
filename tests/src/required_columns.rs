//! Files of the required columns and no others.

/// The header.
pub const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status\n";

/// A line: an account and its balance as it stands in the cell.
pub fn line(entity: &str, period: &str, code: &str, balance: &str) -> String {
    format!("{entity},{period},{code},Account {code},{balance},BS,Assets\n")
}

/// A file with these accounts and balances.
pub fn csv(entity: &str, period: &str, accounts: &[(&str, &str)]) -> String {
    let lines = accounts.iter().map(|(code, balance)| line(entity, period, code, balance));
    std::iter::once(HEADER.to_owned()).chain(lines).collect()
}
