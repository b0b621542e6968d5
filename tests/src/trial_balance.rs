//! A trial balance: one slice's accounts as a CSV file.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::{
    account::Account,
    amount::{text, units},
};

/// Which columns a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// The seven that are required.
    Required,
    /// Those, and the others that the ERP owns.
    Erp,
    /// Those, and some of the review workflow's.
    Review,
    /// Those, and two that nobody knows.
    Extra,
}

const REQUIRED: [&str; 7] = ["entity", "period", "account_code", "account_name", "balance", "bs_pl", "status"];
const ERP: [&str; 8] = [
    "company_code",
    "department",
    "account_category",
    "sub_category",
    "report_type",
    "balance_carryforward",
    "debit_period",
    "credit_period",
];
const REVIEW: [&str; 5] = ["criticality", "review_frequency", "reviewer_name", "sla_deadline", "review_status"];
const EXTRA: [&str; 2] = ["profit center", "Segment"];

/// What a file is to hold.
#[derive(Debug, Clone)]
pub struct TrialBalance {
    /// The legal entity.
    pub entity: String,
    /// The period.
    pub period: String,
    /// How many accounts.
    pub accounts: u64,
    /// Decides everything else.
    pub seed: u64,
    /// Its columns.
    pub columns: Columns,
    /// Whether the last account brings the sum to nil.
    pub balanced: bool,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// The sum of the balances, in units of 10⁻⁹.
    pub sum: i128,
    /// Blank balances.
    pub blank: u64,
    /// Balances of less than 0.01 that are not blank.
    pub zero: u64,
}

impl Totals {
    fn add(&mut self, account: &Account) {
        self.rows += 1;
        self.sum += account.balance.unwrap_or(0);
        self.blank += u64::from(account.balance.is_none());
        self.zero += u64::from(account.balance.is_some_and(|balance| balance.abs() < units("0.01")));
    }

    /// The sum as a plain decimal.
    pub fn sum_text(&self) -> String {
        text(self.sum)
    }
}

impl TrialBalance {
    /// A trial balance of so many accounts, with all columns that an ERP has, not balanced.
    pub fn new(entity: &str, period: &str, accounts: u64, seed: u64) -> Self {
        let (entity, period) = (entity.to_owned(), period.to_owned());
        Self { entity, period, accounts, seed, columns: Columns::Erp, balanced: false }
    }

    /// The same with other columns.
    #[must_use]
    pub fn with(mut self, columns: Columns) -> Self {
        self.columns = columns;
        self
    }

    /// The same, summing to nil.
    #[must_use]
    pub fn balanced(mut self) -> Self {
        self.balanced = true;
        self
    }

    /// Its accounts, in the order of the file. They are made one by one, however many there are.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        let (seed, last) = (self.seed, self.accounts.saturating_sub(1));
        let balanced = self.balanced;
        let mut others = 0;
        (0..self.accounts).map(move |place| {
            let account =
                if balanced && place == last { Account::balancing(place, others) } else { Account::at(seed, place) };
            others += account.balance.unwrap_or(0);
            account
        })
    }

    /// The names of its columns.
    pub fn header(&self) -> Vec<&'static str> {
        let mut names = REQUIRED.to_vec();
        if self.columns != Columns::Required {
            names.extend(ERP);
        }
        if matches!(self.columns, Columns::Review | Columns::Extra) {
            names.extend(REVIEW);
        }
        if self.columns == Columns::Extra {
            names.extend(EXTRA);
        }
        names
    }

    /// Writes the file line by line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<Totals> {
        let mut totals = Totals::default();
        writeln!(to, "{}", self.header().join(","))?;
        for account in self.accounts() {
            totals.add(&account);
            let mut cells = vec![
                self.entity.clone(),
                self.period.clone(),
                account.code.clone(),
                quoted(&account.name),
                account.balance_text(),
                account.bs_pl.to_owned(),
                account.status.to_owned(),
            ];
            if self.columns != Columns::Required {
                let texts = [account.department, account.category, account.sub_category, account.report];
                cells.push(self.entity.clone());
                cells.extend(texts.map(quoted));
                cells.extend([account.carryforward, account.debit, account.credit].map(text));
            }
            if matches!(self.columns, Columns::Review | Columns::Extra) {
                cells.extend(["high", "Monthly", "A. Shah", "WD+5", "reviewed"].map(str::to_owned));
            }
            if self.columns == Columns::Extra {
                cells.extend([format!("PC{}", totals.rows % 7), String::new()]);
            }
            writeln!(to, "{}", cells.join(","))?;
        }
        Ok(totals)
    }

    /// The file as text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("memory takes any file");
        String::from_utf8(bytes).expect("the sample is UTF-8")
    }

    /// What the file holds.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.accounts().for_each(|account| totals.add(&account));
        totals
    }

    /// Writes the file to a path, so that a reader sees it whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<Totals> {
        let partial = path.with_extension("partial");
        let mut to = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        let totals = self.write(&mut to)?;
        to.flush()?;
        std::fs::rename(partial, path)?;
        Ok(totals)
    }
}

/// A cell, in quotes where it needs them.
pub fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_the_totals_are_those_of_the_file() {
        let sample = TrialBalance::new("ABEX", "2022-06", 501, 7).with(Columns::Extra);
        assert_eq!(sample.text(), sample.text());
        assert_eq!(sample.write(&mut io::sink()).unwrap(), sample.totals());
        let columns = sample.header().len();
        assert_eq!(columns, 22);
        assert!(sample.text().lines().all(|line| line.matches(',').count() >= columns - 1));
    }

    #[test]
    fn a_balanced_one_sums_to_nil() {
        let sample = TrialBalance::new("ABEX", "2022-06", 40, 3).balanced();
        assert_eq!((sample.totals().sum, sample.totals().rows), (0, 40));
    }
}
