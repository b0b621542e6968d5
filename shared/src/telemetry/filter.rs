//! The log's filter: what nobody can have meant is refused, since a misspelt level shows no lines.

use strsim::damerau_levenshtein;
use tracing_subscriber::filter::LevelFilter;

/// The levels, as a filter writes them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// The targets of Aura's own lines.
const TARGETS: [&str; 3] = ["aura_worker", "aura_producer", "shared"];
/// Changes within which another word counts as misspelt.
const NEAR: usize = 2;

/// Checks each part of a filter.
///
/// # Errors
/// What is wrong with the first part that cannot be meant, with the nearest right name.
pub(super) fn check(filter: &str) -> Result<(), String> {
    filter.split(',').map(str::trim).filter(|part| !part.is_empty()).try_for_each(part)
}

fn part(part: &str) -> Result<(), String> {
    // Spans and their fields stand in brackets; what they are called is free.
    if part.contains(['[', ']', '{', '}']) {
        return Ok(());
    }
    let Some((target, level)) = part.split_once('=') else {
        let known = LEVELS.into_iter().chain(TARGETS);
        return if is_level(part) || is_own(part) {
            Ok(())
        } else {
            Err(format!("{part:?} is neither a level nor a target of Aura's; the nearest is {}", nearest(part, known)))
        };
    };
    if !is_level(level) {
        return Err(format!("{level:?} is not a level; the nearest is {}", nearest(level, LEVELS)));
    }
    let first = target.split("::").next().unwrap_or(target);
    let misspelt =
        |known: &&str| damerau_levenshtein(known, first) <= NEAR || known.strip_prefix("aura_") == Some(first);
    match TARGETS.into_iter().find(misspelt) {
        Some(known) if !is_own(target) => Err(format!("{first:?} is not a target; the nearest is {known}")),
        Some(_) | None => Ok(()),
    }
}

fn is_level(text: &str) -> bool {
    text.parse::<LevelFilter>().is_ok()
}

/// Returns whether a target is Aura's own.
pub(super) fn is_own(target: &str) -> bool {
    TARGETS.contains(&target.split("::").next().unwrap_or(target))
}

fn nearest(text: &str, known: impl IntoIterator<Item = &'static str>) -> &'static str {
    let text = text.to_ascii_lowercase();
    known.into_iter().min_by_key(|known| damerau_levenshtein(known, &text)).unwrap_or("info")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_meant_is_taken() {
        for filter in ["info", "WARN", "off", "3", "warn,aura_worker=debug", "info, hyper=off", "shared::amqp=trace"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        assert_eq!(check("aura_worker"), Ok(()));
        assert_eq!(check("info,[job{entity=A}]=debug"), Ok(()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_nearest_name() {
        for (filter, nearest) in [
            ("inof", "info"),
            ("warning", "warn"),
            ("verbose", ""),
            ("warn,aura_worker=degub", "debug"),
            ("warn,worker=debug", "aura_worker"),
            ("warn,aura-worker=debug", "aura_worker"),
        ] {
            let fault = check(filter).unwrap_err();
            assert!(fault.contains(&format!("the nearest is {nearest}")), "{filter}: {fault}");
        }
    }
}
