//! One account of a trial balance.

use crate::{
    amount::{ONE, text},
    random::Random,
};

/// One account, as an ERP would export it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its code, unique in the file.
    pub code: String,
    /// Its name; some hold commas and quotes.
    pub name: String,
    /// Its balance in units of 10⁻⁹, none if the cell is blank.
    pub balance: Option<i128>,
    /// `BS` or `PL`.
    pub bs_pl: &'static str,
    /// `Assets`, `Liabilities`, `Income` or `Expense`.
    pub status: &'static str,
    /// The department.
    pub department: &'static str,
    /// The category.
    pub category: &'static str,
    /// The sub-category.
    pub sub_category: &'static str,
    /// The report.
    pub report: &'static str,
    /// Last period's balance.
    pub carryforward: i128,
    /// What was debited in the period.
    pub debit: i128,
    /// What was credited in the period.
    pub credit: i128,
}

const KINDS: [(&str, &str, [&str; 3]); 4] = [
    ("BS", "Assets", ["Inventories", "Trade Receivables", "Property, Plant and Equipment"]),
    ("BS", "Liabilities", ["Trade Payables", "Provisions", "Borrowings"]),
    ("PL", "Income", ["Revenue from Operations", "Other Income", "Interest Income"]),
    ("PL", "Expense", ["Employee Benefits", "Finance Costs", "Power & Fuel"]),
];
const SUBJECTS: [&str; 12] = [
    "Stock of Stores & Spares",
    "Freight, inward",
    "Advance to suppliers",
    "GST input credit",
    "Bank \"current\" account",
    "Salaries and wages",
    "Provision for leave",
    "Unbilled revenue",
    "Plant maintenance",
    "Lease liability",
    "Intercompany clearing",
    "Rounding",
];
const REGIONS: [&str; 6] = ["Domestic", "Export", "Mundra", "Hazira", "Krishnapatnam", "Corporate"];
const DEPARTMENTS: [&str; 5] = ["R2R", "P2P", "O2C", "Treasury", "Tax"];
const REPORTS: [&str; 4] = ["Inventory report", "Ageing report", "GL line items", "Bank statement"];

impl Account {
    /// The account at a place of the trial balance of a seed.
    pub fn at(seed: u64, place: u64) -> Self {
        let mut random = Random::at(seed, place);
        let (bs_pl, status, categories) = random.one_of(&KINDS);
        let balance = match random.between(0, 99) {
            0..26 => None,
            26..34 => Some(0),
            34..38 => Some(amount(&mut random, 1)),
            _ => Some(amount(&mut random, 10_000_000)),
        };
        let (debit, credit) = (amount(&mut random, 10_000_000).abs(), amount(&mut random, 10_000_000).abs());
        Self {
            // The codes are in order, as exports are, and some begin with zeros.
            code: format!("{:08}", 100_000 + place * 7),
            name: format!("{}-{} {place}", random.one_of(&SUBJECTS), random.one_of(&REGIONS)),
            balance,
            bs_pl,
            status,
            department: random.one_of(&DEPARTMENTS),
            category: random.one_of(&categories),
            sub_category: random.one_of(&REGIONS),
            report: random.one_of(&REPORTS),
            carryforward: balance.unwrap_or(0) - debit + credit,
            debit,
            credit,
        }
    }

    /// The account that brings others, which sum to so much, to nil.
    pub fn balancing(place: u64, others: i128) -> Self {
        Self {
            name: "Suspense".to_owned(),
            balance: Some(-others),
            carryforward: 0,
            debit: 0,
            credit: 0,
            ..Self::at(0, place)
        }
    }

    /// The balance as its cell shows it.
    pub fn balance_text(&self) -> String {
        self.balance.map_or(String::new(), text)
    }
}

/// An amount in steps of `step` units, of up to eleven digits before the point.
fn amount(random: &mut Random, step: i128) -> i128 {
    let magnitude = 10_u64.pow(random.between(3, 13) as u32);
    let steps = i128::from(random.between(0, magnitude));
    let units = if step == 1 { steps * 1_000 + i128::from(random.between(1, 999)) } else { steps * step };
    debug_assert!(units < 1_000_000_000_000 * ONE);
    if random.percent(45) { -units } else { units }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_balance_has_blanks_zeros_and_nine_decimals() {
        let accounts: Vec<_> = (0..2_000).map(|place| Account::at(7, place)).collect();
        let count = |test: fn(&Account) -> bool| accounts.iter().filter(|account| test(account)).count();
        assert!((400..640).contains(&count(|a| a.balance.is_none())));
        assert!((100..240).contains(&count(|a| a.balance == Some(0))));
        assert!(count(|a| a.balance.is_some_and(|b| b % 10 != 0)) > 20, "some have nine decimals");
        assert!(accounts.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(Account::at(7, 3), Account::at(7, 3));
    }
}
