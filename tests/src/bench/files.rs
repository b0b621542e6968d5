//! The files that are loaded: trial balances, and the same ones later.

use std::{fs, path::PathBuf};

use crate::{
    bench::client::Job,
    trial_balance::{Columns, TrialBalance},
};

/// The period of all files.
pub const PERIOD: &str = "2026-03";
/// One row in so many is changed where 1 % is.
pub const ONE_PERCENT: usize = 100;

/// A file of one slice.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its entity.
    pub entity: String,
    /// Its rows.
    pub rows: u64,
}

impl File {
    /// Writes a file with columns that the ERP and the review own.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(path: PathBuf, entity: &str, rows: u64, seed: u64) -> Self {
        let sample = TrialBalance::new(entity, PERIOD, rows, seed).with(Columns::Review);
        sample.save(&path).expect("a file can be written");
        Self { path, entity: entity.to_owned(), rows }
    }

    /// Its job.
    pub fn job(&self) -> Job {
        Job::new(&self.path, &self.entity, PERIOD)
    }

    /// Writes it again with another balance in one row of so many.
    ///
    /// # Panics
    /// If it cannot be read or written.
    pub fn change(&self, every: usize) {
        let text = fs::read_to_string(&self.path).expect("the file is there");
        let mut other = String::with_capacity(text.len() + text.len() / 100);
        for (number, line) in text.lines().enumerate() {
            let is_chosen = number > 0 && number % every == 0;
            // The account's name, which may have a comma, comes before the balance, which comes before the class.
            let class = [",BS,", ",PL,"].into_iter().find_map(|class| line.find(class)).filter(|_| is_chosen);
            match class.and_then(|class| Some((line[..class].rfind(',')?, class))) {
                Some((balance, class)) => {
                    other += &line[..=balance];
                    other += &format!("{number}.5");
                    other += &line[class..];
                }
                None => other += line,
            }
            other.push('\n');
        }
        fs::write(&self.path, other).expect("a file can be written");
    }

    /// Writes it again with its rows in the opposite order: other bytes, the same figures.
    ///
    /// # Panics
    /// If it cannot be read or written.
    pub fn turn_around(&self) {
        let text = fs::read_to_string(&self.path).expect("the file is there");
        let mut lines: Vec<&str> = text.lines().collect();
        if let Some(rows) = lines.get_mut(1..) {
            rows.reverse();
        }
        fs::write(&self.path, lines.join("\n") + "\n").expect("a file can be written");
    }
}
