//! Which mapping profile fits a file.

use std::path::Path;

use serde::Serialize;
use shared::{
    file::{
        columns::key_of, dialect::FileLimits, layout::expected_names, mapping_profile::MappingProfile, survey::survey,
    },
    message::job::SourceName,
    slice::Slice,
    sources::Sources,
};

use super::file::open;
use crate::errors::CommandError;

/// Rows by which a profile is judged.
const ROWS: u64 = 2_000;

/// How a profile fits a file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fit {
    /// The profile.
    pub(super) source: SourceName,
    /// Whether it can be used.
    pub(super) fits: bool,
    /// Columns that it names and the file has.
    pub(super) columns_found: usize,
    /// Columns of the file.
    pub(super) columns: usize,
    /// Rows that it chooses, of the first 2,000.
    pub(super) rows: u64,
    /// Why it fits or does not.
    pub(super) reason: String,
}

/// The profile that fits best, and how all of them fit, the best first.
///
/// # Errors
/// If none fits: why each does not.
pub(super) fn best(
    path: &Path,
    sources: &Sources,
    limits: FileLimits,
    message: &Slice,
) -> Result<(MappingProfile, Vec<Fit>), CommandError> {
    let mut judged = Vec::new();
    for name in sources.names() {
        match sources.named(&name) {
            Ok(profile) => {
                let fit = judge(path, &profile, limits, message)?;
                judged.push((fit, Some(profile)));
            }
            Err(error) => {
                let fit =
                    Fit { source: name, fits: false, columns_found: 0, columns: 0, rows: 0, reason: error.to_string() };
                judged.push((fit, None));
            }
        }
    }
    judged.sort_by_key(|(fit, _)| (!fit.fits, fit.rows == 0, std::cmp::Reverse(fit.columns_found)));
    let fits: Vec<Fit> = judged.iter().map(|(fit, _)| fit.clone()).collect();
    match judged.into_iter().next() {
        Some((fit, Some(profile))) if fit.fits => Ok((profile, fits)),
        _ => {
            let faults = fits.iter().map(|fit| format!("{}: {}", fit.source, fit.reason)).collect();
            let what = "no mapping profile fits the file; --suggest drafts one, --source tells more of one".to_owned();
            Err(CommandError::Faults { what, faults })
        }
    }
}

fn judge(path: &Path, profile: &MappingProfile, limits: FileLimits, message: &Slice) -> Result<Fit, CommandError> {
    let unfit = |reason: String| Fit {
        source: profile.name.clone(),
        fits: false,
        columns_found: 0,
        columns: 0,
        rows: 0,
        reason,
    };
    let surveyed = match survey(|| open(path), profile, limits, message, ROWS)? {
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
    Ok(Fit {
        source: profile.name.clone(),
        fits: true,
        columns_found: found,
        columns: keys.len(),
        rows: surveyed.rows,
        reason: format!(
            "finds {found} columns that it names among the file's {}, and rows: {}",
            keys.len(),
            surveyed.rows
        ),
    })
}
