//! A month-end: one file per legal entity.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    broken::{Fault, with_fault},
    random::Random,
    trial_balance::{Columns, Totals, TrialBalance},
};

/// The accounts of the smallest and of the largest entity.
pub const ACCOUNTS: (u64, u64) = (501, 2_736);

/// A month-end that can be written.
#[derive(Debug, Clone)]
pub struct MonthEnd {
    /// The period.
    pub period: String,
    /// How many entities.
    pub entities: u64,
    /// Decides everything else.
    pub seed: u64,
    /// How many files have a bad amount.
    pub bad: u64,
}

/// A file that was written.
#[derive(Debug, Clone)]
pub struct SampleFile {
    /// Where.
    pub path: PathBuf,
    /// The legal entity.
    pub entity: String,
    /// What it holds, or would hold were it not broken.
    pub totals: Totals,
    /// Whether one of its amounts is none.
    pub bad: bool,
}

impl MonthEnd {
    /// The trial balance of the entity at a place, from 0, and whether its file is a bad one.
    pub fn entity(&self, place: u64) -> (TrialBalance, bool) {
        let mut random = Random::at(self.seed, place);
        let accounts = random.between(ACCOUNTS.0, ACCOUNTS.1);
        let columns = random.one_of(&[
            Columns::Erp,
            Columns::Erp,
            Columns::Erp,
            Columns::Review,
            Columns::Review,
            Columns::Extra,
        ]);
        let sample = TrialBalance::new(&format!("E{:04}", place + 1), &self.period, accounts, random.next());
        // The bad ones lie in the middle, so that something is under way when they come.
        let first_bad = self.entities.saturating_sub(self.bad) / 2;
        (sample.with(columns).balanced(), (first_bad..first_bad + self.bad).contains(&place))
    }

    /// Writes `{entity}_{period}.csv` for every entity, or for one of them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path, only: Option<&str>) -> io::Result<Vec<SampleFile>> {
        fs::create_dir_all(folder)?;
        let mut written = Vec::new();
        for place in 0..self.entities {
            let (sample, bad) = self.entity(place);
            if only.is_some_and(|entity| entity != sample.entity) {
                continue;
            }
            let path = folder.join(format!("{}_{}.csv", sample.entity, sample.period));
            let totals = sample.save(&path)?;
            if bad {
                fs::write(&path, with_fault(&sample.text(), Fault::BadAmount))?;
            }
            written.push(SampleFile { path, entity: sample.entity, totals, bad });
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_end_has_entities_of_all_sizes_and_as_many_bad_files_as_asked() {
        let month = MonthEnd { period: "2026-03".into(), entities: 40, seed: 7, bad: 1 };
        let all: Vec<_> = (0..40).map(|place| month.entity(place)).collect();
        assert_eq!(all.iter().filter(|(_, bad)| *bad).count(), 1);
        assert!(all.iter().all(|(sample, _)| (ACCOUNTS.0..=ACCOUNTS.1).contains(&sample.accounts)));
        let small = MonthEnd { entities: 2, bad: 1, ..month };
        let folder = std::env::temp_dir().join(format!("aura-samples-{}", std::process::id()));
        let files = small.save(&folder, None).unwrap();
        let again = small.save(&folder, Some("E0002")).unwrap();
        assert_eq!((files.len(), again.len()), (2, 1));
        assert!(fs::read_to_string(&files[0].path).unwrap().contains("12.3x4"));
        fs::remove_dir_all(folder).unwrap();
    }
}
