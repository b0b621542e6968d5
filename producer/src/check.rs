//! `check`: what the worker would make of a file, without any service.

mod dividing;
pub(crate) mod file;
mod fit;
mod groups;
mod other_amounts;
mod preview;
mod report;
mod suggest;

use std::path::PathBuf;

use shared::{
    amount::Amount,
    file::{
        dialect::FileLimits,
        mapping_profile::{FromMessage, MappingProfile},
        survey::{Survey, survey},
        trial_balance::{self, Assumptions, CheckedSlice, Request, Stopped, read_until_settled},
    },
    message::{
        failure::{ErrorCode, Failure, Stage},
        job::{Control, Mode, OnError, SourceName},
    },
    settings::Settings,
    slice::{Entity, Period, Slice},
    sources::Sources,
};

use self::{
    file::{FileAt, FileFacts},
    preview::Preview,
    report::Asked,
};
pub(crate) use self::{
    fit::Fit,
    other_amounts::OtherAmounts,
    preview::Figures,
    report::{Checked, CheckedRows},
    suggest::Draft,
};
use crate::{
    errors::{CommandError, ExitStatus},
    output,
};

/// Tells what the worker would make of a file
///
/// Nothing is published and no service is needed: every row of every slice is judged by the worker's own code.
/// Where two profiles fit and give different figures, none is taken. Exit code 1 if any row would fail.
#[derive(Default, clap::Args)]
#[command(after_help = "Examples:
  aura-producer check export.txt --source sap-bseg --entity DE01
  aura-producer check unknown.csv --suggest > deploy/sources/my-erp.toml")]
pub(crate) struct Args {
    /// The file
    pub(crate) file: PathBuf,
    /// The mapping profile; otherwise the one that fits best
    #[arg(long)]
    pub(crate) source: Option<SourceName>,
    /// This entity only; needed if the profile takes it from the job
    #[arg(long)]
    pub(crate) entity: Option<Entity>,
    /// This period only; needed if the profile takes it from the job
    #[arg(long)]
    pub(crate) period: Option<Period>,
    /// `abort` or `quarantine`; otherwise abort
    #[arg(long)]
    pub(crate) on_error: Option<OnError>,
    /// Lists every account with its balance
    #[arg(long)]
    pub(crate) accounts: bool,
    /// Every slice must sum to nil
    #[arg(long)]
    pub(crate) require_balanced: bool,
    /// How many rows each slice must have
    #[arg(long, value_name = "N")]
    pub(crate) control_rows: Option<u64>,
    /// What each slice's balances must sum to
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub(crate) control_balance_sum: Option<Amount>,
    /// Writes a draft of a mapping profile for the file instead
    #[arg(long, conflicts_with = "source")]
    pub(crate) suggest: bool,
}

/// What is known of a file.
pub(crate) struct Looked {
    /// How all profiles fit, the best first; empty if one was named.
    pub(crate) fits: Vec<Fit>,
    pub(crate) told: Told,
}

/// What is told of it.
pub(crate) enum Told {
    /// What the worker would make of it.
    Checked(Box<Checked>),
    /// A profile that nobody has written yet.
    Draft(Draft),
    /// No profile was taken, since a person has to say which, or more.
    Undecided(CommandError),
}

/// Checks a file, or drafts a profile for it.
pub(crate) fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    match examine(args, &FileAt::new(&args.file), settings)?.told {
        Told::Draft(draft) => {
            output::print(json, &draft)?;
            Ok(ExitStatus::Done)
        }
        Told::Checked(checked) => {
            output::print(json, &*checked)?;
            Ok(if checked.is_sound() { ExitStatus::Done } else { ExitStatus::Failed })
        }
        Told::Undecided(error) => Err(error),
    }
}

/// Looks at a file, wherever it lies, as the arguments say.
///
/// # Errors
/// If the file cannot be read, or what is asked does not go together.
pub(crate) fn examine(args: &Args, file: &FileAt, settings: &Settings) -> Result<Looked, CommandError> {
    let sources = Sources::new(&settings.sources_dir);
    let limits = FileLimits::from(settings);
    let facts = file.facts(settings.max_file_bytes)?;
    let message = placeholder(args.entity.as_ref(), args.period.as_ref())?;
    let (fits, profile) = match &args.source {
        Some(name) => (Vec::new(), Ok(sources.named(name).map_err(|error| CommandError::Input(error.to_string()))?)),
        None => {
            let judged = fit::all(file, &sources, limits, &message, settings)?;
            (judged.iter().map(|(fit, _)| fit.clone()).collect(), fit::best(judged))
        }
    };
    if args.suggest {
        let fitting = match profile {
            Ok(profile) if profile.is_default() => vec!["the built-in profile reads this file as it is".to_owned()],
            Ok(profile) => vec![format!("the profile {} reads this file", profile.name)],
            Err(CommandError::Faults { what, faults }) => {
                let faults = faults.into_iter().filter(|fault| !fault.starts_with("--suggest"));
                std::iter::once(what).chain(faults).collect()
            }
            Err(error) => return Err(error),
        };
        let draft = suggest::draft(file, limits, &fitting);
        let draft = draft.map_err(|failure| CommandError::Input(failure.to_string()))?;
        return Ok(Looked { fits, told: Told::Draft(draft) });
    }
    let undecided = |fits, error| Ok(Looked { fits, told: Told::Undecided(error) });
    let profile = match profile {
        Ok(profile) => profile,
        Err(error) => return undecided(fits, error),
    };
    if let Some(open) = left_open(args, &profile, fits.first()) {
        return undecided(fits, CommandError::Input(open));
    }
    if args.on_error == Some(OnError::Quarantine) && profile.mode == Mode::Replace {
        let reason =
            format!("the mapping profile {} has mode replace, with which quarantine does not go", profile.name);
        return Err(CommandError::Input(reason));
    }
    let checked = look(args, file, profile, fits.clone(), facts, &message, limits, settings)?;
    Ok(Looked { fits, told: Told::Checked(Box::new(checked)) })
}

/// What the profile takes from the job and was not given.
fn left_open(args: &Args, profile: &MappingProfile, best: Option<&Fit>) -> Option<String> {
    let asked = [
        (FromMessage::Entity, args.entity.is_some(), "--entity"),
        (FromMessage::Period, args.period.is_some(), "--period"),
    ];
    let open: Vec<&str> =
        asked.into_iter().filter(|(from, given, _)| profile.asks_for(*from) && !given).map(|(.., flag)| flag).collect();
    if open.is_empty() {
        return None;
    }
    let what = open.iter().map(|flag| flag.trim_start_matches('-')).collect::<Vec<_>>().join(" and ");
    let (name, flags) = (&profile.name, open.join(" and "));
    let how = match best {
        Some(fit) => format!("the mapping profile {name} fits best: it {}; it takes", fit.reason),
        None => format!("the mapping profile {name} takes"),
    };
    Some(format!("{how} the {what} from the job; say which with {flags}"))
}

/// A slice that stands for what is not given.
fn placeholder(entity: Option<&Entity>, period: Option<&Period>) -> Result<Slice, CommandError> {
    let invalid = |error: shared::slice::InvalidCode| CommandError::Input(error.to_string());
    Ok(Slice {
        entity: entity.cloned().map_or_else(|| "X".parse().map_err(invalid), Ok)?,
        period: period.cloned().map_or_else(|| "2000-01".parse().map_err(invalid), Ok)?,
    })
}

/// Surveys the file and looks at its slices, one after the other.
#[expect(clippy::too_many_arguments, reason = "what was found out on the way here")]
fn look(
    args: &Args,
    file: &FileAt,
    profile: MappingProfile,
    fits: Vec<Fit>,
    facts: FileFacts,
    message: &Slice,
    limits: FileLimits,
    settings: &Settings,
) -> Result<Checked, CommandError> {
    let surveyed = survey(|| file.open(), &profile, limits, message, u64::MAX)?;
    let mut checked = Checked::new(facts, &profile, fits);
    let surveyed = match surveyed {
        Ok(surveyed) => surveyed,
        Err(failure) => {
            checked.failure = Some(failure);
            return Ok(checked);
        }
    };
    let (wanted, strangers) = wanted(&surveyed, args, message)?;
    checked.survey(&surveyed, strangers);
    let asked = Asked {
        quarantine: (args.on_error == Some(OnError::Quarantine)).then_some(settings.max_rejected_rows),
        accounts: args.accounts,
    };
    for slice in wanted {
        let read = rows(file, &profile, &slice, limits, settings)?;
        let unmet = unmet(args, file, &profile, &slice, limits, settings)?;
        checked.add(CheckedRows::new(&slice, read, unmet, asked));
    }
    Ok(checked)
}

/// The slices that are looked at, and what stands in their columns without being a slice.
fn wanted(surveyed: &Survey, args: &Args, message: &Slice) -> Result<(Vec<Slice>, Vec<String>), CommandError> {
    let (mut slices, mut strangers) = (Vec::new(), Vec::new());
    if let (Some(entity), Some(period)) = (&args.entity, &args.period) {
        slices.push(Slice { entity: entity.clone(), period: period.clone() });
    }
    let is_named = |(entity, period): &&(String, String)| !entity.is_empty() && !period.is_empty();
    let has_named = surveyed.slices.keys().any(|slice| is_named(&slice));
    for (entity, period) in surveyed.slices.keys() {
        // Beside others, such rows are looked at with each of them, as a job would.
        let is_open = entity.is_empty() && args.entity.is_none() || period.is_empty() && args.period.is_none();
        if has_named && is_open {
            continue;
        }
        // A blank cell is the job's.
        let or_message = |text: &str, ours: &str| if text.is_empty() { ours.to_owned() } else { text.to_owned() };
        let parsed = or_message(entity, message.entity.as_str()).parse::<Entity>().map_err(|error| error.to_string());
        let period_text = or_message(period, message.period.as_str());
        let both = parsed.and_then(|entity| {
            let period = period_text.parse::<Period>().map_err(|error| error.to_string())?;
            Ok(Slice { entity, period })
        });
        match both {
            Ok(slice) => {
                let fits = args.entity.as_ref().is_none_or(|entity| *entity == slice.entity)
                    && args.period.as_ref().is_none_or(|period| *period == slice.period);
                if fits && !slices.contains(&slice) {
                    slices.push(slice);
                }
            }
            Err(reason) => strangers.push(format!("{entity:?} {period:?}: {reason}")),
        }
    }
    Ok((slices, strangers))
}

type Read = Result<(CheckedSlice, Preview), Failure>;

/// Looks at the rows of one slice. Bad rows are told beside what is known of the good ones.
fn rows(
    file: &FileAt,
    profile: &MappingProfile,
    slice: &Slice,
    limits: FileLimits,
    settings: &Settings,
) -> Result<Read, CommandError> {
    read_with(file, &request(profile, slice, limits, settings))
}

/// Why a slice does not come up to what is asked of it beside its rows, as the worker tells it.
fn unmet(
    args: &Args,
    file: &FileAt,
    profile: &MappingProfile,
    slice: &Slice,
    limits: FileLimits,
    settings: &Settings,
) -> Result<Option<Failure>, CommandError> {
    let control = Control { rows: args.control_rows, balance_sum: args.control_balance_sum };
    if control == Control::default() && !args.require_balanced {
        return Ok(None);
    }
    let asked =
        Request { control, require_balanced: args.require_balanced, ..request(profile, slice, limits, settings) };
    let failed = read_with(file, &asked)?.err();
    Ok(failed.filter(|failure| matches!(failure.code, ErrorCode::ControlTotalMismatch | ErrorCode::OutOfBalance)))
}

fn request<'a>(profile: &'a MappingProfile, slice: &'a Slice, limits: FileLimits, settings: &Settings) -> Request<'a> {
    Request {
        slice,
        profile,
        on_error: OnError::Quarantine,
        max_rejected: u64::MAX,
        limits,
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: settings.nil_tolerance,
    }
}

fn read_with(file: &FileAt, request: &Request<'_>) -> Result<Read, CommandError> {
    let mut unreadable = None;
    let read = read_until_settled(|assumptions: Assumptions| {
        let mut preview = Preview::new(request.profile);
        let input = file.open().map_err(|error| {
            let reason = error.to_string();
            unreadable = Some(error);
            Stopped::from(Failure::new(ErrorCode::StorageUnavailable, Stage::Load, reason))
        })?;
        let checked = trial_balance::read(input, request, assumptions, &mut preview)?;
        Ok((checked, preview))
    });
    match unreadable {
        Some(error) => Err(error),
        None => Ok(read),
    }
}
