//! Which mapping profile fits a file: one under which its rows load. Where two do and give different figures, a
//! person decides.

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    amount::Amount,
    file::{
        columns::key_of,
        dialect::FileLimits,
        layout::expected_names,
        mapping_profile::MappingProfile,
        survey::{Survey, survey},
    },
    message::job::SourceName,
    settings::Settings,
    slice::{Entity, Period, Slice},
    sources::Sources,
};

use super::{file::FileAt, other_amounts::OtherAmounts, rows};
use crate::errors::CommandError;

/// Rows by which a profile's slices are found.
const ROWS: u64 = 2_000;
/// Percent of its rows that must be good, and have a name, for a profile to fit.
const GOOD_PERCENT: u64 = 50;
const NAMED_PERCENT: u64 = 50;
/// Other columns with amounts that are named.
const NAMED: usize = 8;

/// How a profile fits a file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Fit {
    /// The profile.
    pub(crate) source: SourceName,
    /// Whether it can be used.
    pub(crate) fits: bool,
    /// Columns that it names and the file has.
    pub(crate) columns_found: usize,
    /// Columns of the file.
    pub(crate) columns: usize,
    /// Good and bad rows of the slice by which it was judged.
    pub(crate) good: u64,
    pub(crate) bad: u64,
    /// What the good ones come to.
    pub(crate) balance_sum: Option<Amount>,
    /// Where the balance is read from, and columns with other amounts that the profile does not name.
    pub(crate) balance_from: Vec<String>,
    pub(crate) other_amounts: Vec<OtherAmounts>,
    /// Columns that tell rows of one account apart, which it adds up all the same.
    pub(crate) added_up_across: Vec<String>,
    /// Whether its decimal mark may be that of thousands.
    pub(crate) is_scale_in_doubt: bool,
    /// Why it fits or does not.
    pub(crate) reason: String,
}

impl Fit {
    fn none(source: SourceName, reason: String) -> Self {
        Self {
            source,
            fits: false,
            columns_found: 0,
            columns: 0,
            good: 0,
            bad: 0,
            balance_sum: None,
            balance_from: Vec::new(),
            other_amounts: Vec::new(),
            added_up_across: Vec::new(),
            is_scale_in_doubt: false,
            reason,
        }
    }

    /// Whether nothing else of the file gives other figures.
    fn is_clear(&self) -> bool {
        self.other_amounts.is_empty() && self.added_up_across.is_empty() && !self.is_scale_in_doubt
    }

    /// The columns by which it was recognised, and what it reads, in one line.
    fn figures(&self) -> String {
        let sum = self.balance_sum.map_or_else(|| "-".to_owned(), |sum| sum.to_string());
        format!("{}: {} rows that sum to {sum}", self.source, self.good)
    }
}

/// How every profile fits a file, the best first, and those that can be used.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn all(
    file: &FileAt,
    sources: &Sources,
    limits: FileLimits,
    message: &Slice,
    settings: &Settings,
) -> Result<Vec<(Fit, Option<MappingProfile>)>, CommandError> {
    let mut judged = Vec::new();
    for name in sources.names() {
        match sources.named(&name) {
            Ok(profile) => {
                let fit = judge(file, &profile, limits, message, settings)?;
                judged.push((fit, Some(profile)));
            }
            Err(error) => judged.push((Fit::none(name, error.to_string()), None)),
        }
    }
    judged.sort_by_key(|(fit, _)| (!fit.fits, std::cmp::Reverse(fit.columns_found), fit.bad));
    Ok(judged)
}

/// The profile that fits best.
///
/// # Errors
/// If none fits, or two fit and give different figures.
pub(super) fn best(judged: Vec<(Fit, Option<MappingProfile>)>) -> Result<MappingProfile, CommandError> {
    let fits: Vec<Fit> = judged.iter().map(|(fit, _)| fit.clone()).collect();
    let fitting: Vec<&Fit> = fits.iter().filter(|fit| fit.fits).collect();
    let differs =
        |fit: &&&Fit| Some((fit.good, fit.balance_sum)) != fitting.first().map(|first| (first.good, first.balance_sum));
    if fitting.iter().any(|fit| differs(&fit)) {
        let faults = fitting.iter().map(|fit| fit.figures()).collect();
        let what =
            "several mapping profiles fit the file and give different figures; say which with --source".to_owned();
        return Err(CommandError::Faults { what, faults });
    }
    match judged.into_iter().next() {
        // Aura's own names say which column is the balance; a profile that nobody named says it of another file.
        Some((fit, Some(profile))) if fit.fits && (profile.is_default() || fit.is_clear()) => Ok(profile),
        Some((fit, Some(_))) if fit.fits => {
            let from = fit.balance_from.join(" and ");
            let mut faults = vec![format!("{}, read from {from}", fit.figures())];
            faults.extend(fit.other_amounts.iter().take(NAMED).map(OtherAmounts::told));
            let across = fit.added_up_across.iter().take(NAMED);
            faults.extend(across.map(|column| format!("it loads rows into one slice whatever stands in {column}")));
            faults.push(format!("--source {} takes the first; --suggest drafts another profile", fit.source));
            if fit.is_scale_in_doubt {
                faults.insert(
                    1,
                    "all amounts have three digits behind the mark, which may be that of thousands".to_owned(),
                );
            }
            let why = match (fit.other_amounts.is_empty(), fit.added_up_across.is_empty()) {
                (false, _) => "the file has other columns with amounts",
                (true, false) => "loads rows into one slice that the file tells apart",
                (true, true) => "its amounts may be a thousand times too small",
            };
            let what = format!("the mapping profile {} fits, and {why}, so that a person decides", fit.source);
            Err(CommandError::Faults { what, faults })
        }
        _ => {
            // The nearest one is the one that finds most of its columns.
            let nearest = fits.iter().max_by_key(|fit| fit.columns_found).filter(|fit| fit.columns_found > 0);
            let mut faults: Vec<String> =
                nearest.iter().map(|fit| format!("the nearest is {}: {}", fit.source, fit.reason)).collect();
            faults.push("--suggest drafts a profile; --source NAME tells why one does not fit".to_owned());
            Err(CommandError::Faults { what: "no mapping profile fits the file".to_owned(), faults })
        }
    }
}

fn judge(
    file: &FileAt,
    profile: &MappingProfile,
    limits: FileLimits,
    message: &Slice,
    settings: &Settings,
) -> Result<Fit, CommandError> {
    let unfit = |reason: String| Fit::none(profile.name.clone(), reason);
    let surveyed = match survey(|| file.open(), profile, limits, message, ROWS)? {
        Ok(surveyed) => surveyed,
        Err(failure) => return Ok(unfit(failure.message)),
    };
    if let Some((line, reason)) = surveyed.unclear {
        return Ok(unfit(format!("line {line}: the {reason}")));
    }
    let keys: Vec<String> = surveyed.columns.names.iter().map(|name| key_of(name)).collect();
    let found = expected_names(profile).iter().filter(|name| keys.contains(name)).count();
    if found == 0 && !profile.is_default() {
        return Ok(unfit("it tells columns by their place, which any file has; name it with --source".to_owned()));
    }
    let counted = |fit: Fit| Fit { columns_found: found, columns: keys.len(), ..fit };
    let Some(slice) = largest(&surveyed, message) else {
        return Ok(counted(unfit("no row is of an entity and a period".to_owned())));
    };
    let (checked, preview) = match rows(file, profile, &slice, limits, settings)? {
        Ok(read) => read,
        Err(failure) => return Ok(counted(unfit(failure.message))),
    };
    let (good, bad, sum) = (checked.rows, checked.failed, checked.balance_sum);
    let is_named = preview.nameless() * 100 <= good * NAMED_PERCENT;
    let fits = good > 0 && good * 100 >= (good + bad) * GOOD_PERCENT && is_named;
    let origins = surveyed.origins.iter().find(|(target, _)| *target == "balance").map(|(_, names)| names.clone());
    let reason = format!(
        "finds {found} columns that it names among the file's {}; of {slice}, {good} rows are good and {bad} bad{}",
        keys.len(),
        if is_named { "" } else { ", most of them without a name" }
    );
    let balance_from = origins.unwrap_or_default();
    let other_amounts = preview.other_amounts();
    let added_up_across = preview.added_up_across();
    Ok(counted(Fit {
        fits,
        good,
        bad,
        balance_sum: Some(sum),
        balance_from,
        other_amounts,
        added_up_across,
        is_scale_in_doubt: checked.is_scale_in_doubt,
        ..unfit(reason)
    }))
}

/// The slice of most rows. A blank entity or period is the message's.
fn largest(surveyed: &Survey, message: &Slice) -> Option<Slice> {
    let slices = surveyed.slices.iter().filter_map(|((entity, period), rows)| {
        let entity = if entity.is_empty() { message.entity.clone() } else { entity.parse::<Entity>().ok()? };
        let period = if period.is_empty() { message.period.clone() } else { period.parse::<Period>().ok()? };
        Some((Slice { entity, period }, *rows))
    });
    slices.max_by_key(|(_, rows)| *rows).map(|(slice, _)| slice)
}
