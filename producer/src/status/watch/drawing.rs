//! What is going on, as lines of a screen: none wider than it, and no more than it has.

use chrono::{DateTime, Utc};
use shared::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    now::{
        Now,
        watch::{counted, ended},
    },
    output::{age, color, status, time},
};

/// Lines that what needs attention may take, of a screen of 24.
const TOLD: usize = 4;
/// Lines of each list that are shown before another gets more.
const LEAST: usize = 4;
/// Spaces between columns.
const GAP: usize = 2;

/// The screen at a moment; before anything was looked at, it says so.
pub(super) fn lines(now: Option<&Now>, width: usize, height: usize, at: DateTime<Utc>) -> Vec<String> {
    let mut lines = vec![beside("Aura", &format!("{}   q ends", time(at)), width)];
    match now {
        Some(now) => {
            lines.push(pace(now));
            lines.extend(attention(now));
            lines.push(String::new());
            lines.extend(queues_and_backlogs(now, width));
            let left = height.saturating_sub(lines.len());
            lines.extend(lists(now, width, left, at));
        }
        None => lines.push("looking…".to_owned()),
    }
    lines.truncate(height);
    lines.iter().map(|line| cut(line, width)).collect()
}

fn pace(now: &Now) -> String {
    let (jobs, rows) = ended(&now.sample.pace);
    let by_status: Vec<String> =
        now.sample.pace.iter().map(|pace| format!("{} {}", counted(pace.jobs), status(&pace.status))).collect();
    let statuses = if by_status.is_empty() { "none".to_owned() } else { by_status.join(", ") };
    format!("{} jobs, {} rows a minute; begun in the last ten minutes: {statuses}", jobs / 10, rows / 10)
}

fn attention(now: &Now) -> Vec<String> {
    let told = &now.needs_attention;
    if told.is_empty() {
        return vec!["nothing stands still".to_owned()];
    }
    let shown = if told.len() > TOLD { TOLD - 1 } else { told.len() };
    let mut lines: Vec<String> = told.iter().take(shown).map(|text| format!("! {text}")).collect();
    if told.len() > shown {
        lines.push(format!("! and {} more: see aura-producer console", told.len() - shown));
    }
    lines
}

/// Queues, and to their right what waits for the stores; below each other where there is no room.
fn queues_and_backlogs(now: &Now, width: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> = now
        .sample
        .queues
        .iter()
        .map(|queue| vec![queue.name.clone(), queue.messages.to_string(), queue.consumers.to_string()])
        .collect();
    let queues = grid(&["QUEUE", "MESSAGES", "CONSUMERS"], &rows, width, 0);
    let rows: Vec<Vec<String>> = now
        .sample
        .waiting
        .iter()
        .map(|waiting| {
            let oldest = waiting.oldest.map_or_else(|| "-".to_owned(), |at| age(at, now.sample.at));
            vec![waiting.what.to_owned(), counted(waiting.number), oldest]
        })
        .collect();
    let header = ["WAITING", "NUMBER", "OLDEST"];
    let left = queues.iter().map(|line| line.width()).max().unwrap_or(0) + 2 * GAP;
    if width < left + 30 {
        return queues.into_iter().chain(grid(&header, &rows, width, 0)).collect();
    }
    let waiting = grid(&header, &rows, width - left, 0);
    let line = |number: usize| {
        let (left_line, right_line) = (queues.get(number), waiting.get(number));
        let left_line = left_line.map_or("", String::as_str);
        let gap = " ".repeat(left - left_line.width());
        format!("{left_line}{gap}{}", right_line.map_or("", String::as_str))
    };
    (0..queues.len().max(waiting.len())).map(line).collect()
}

/// Dead letters, jobs and operations, each with a share of the lines that are left.
fn lists(now: &Now, width: usize, left: usize, at: DateTime<Utc>) -> Vec<String> {
    let lists = [dead(now, width, at), running(now, width, at), operations(now, width, at)];
    let lists: Vec<Vec<String>> = lists.into_iter().filter(|list| !list.is_empty()).collect();
    // One line apart from what is above it, each.
    let mut room = left.saturating_sub(lists.len());
    let mut shares: Vec<usize> = lists.iter().map(|list| list.len().min(LEAST)).collect();
    room = room.saturating_sub(shares.iter().sum());
    for (share, list) in shares.iter_mut().zip(&lists) {
        let more = (list.len() - *share).min(room);
        *share += more;
        room -= more;
    }
    let mut lines = Vec::new();
    for (mut list, share) in lists.into_iter().zip(shares) {
        if list.len() > share {
            let more = list.len() - share + 1;
            list.truncate(share - 1);
            list.push(format!("… and {more} more"));
        }
        lines.push(String::new());
        lines.extend(list);
    }
    lines
}

fn dead(now: &Now, width: usize, at: DateTime<Utc>) -> Vec<String> {
    if now.dead_letter_groups.is_empty() {
        return vec!["no dead letter is written down".to_owned()];
    }
    let rows: Vec<Vec<String>> = now
        .dead_letter_groups
        .iter()
        .map(|group| {
            let newest = group.newest.map_or_else(|| "-".to_owned(), |newest| age(newest, at));
            let cause = match group.cause == group.code {
                true => group.code.clone(),
                false => format!("{}: {}", group.code, group.cause),
            };
            vec![group.jobs.to_string(), newest, group.group_id.clone(), cause]
        })
        .collect();
    grid(&["DEAD", "NEWEST", "GROUP", "CAUSE"], &rows, width, 3)
}

fn running(now: &Now, width: usize, at: DateTime<Utc>) -> Vec<String> {
    if now.under_way.is_empty() {
        return vec!["no job runs".to_owned()];
    }
    let rows: Vec<Vec<String>> = now
        .under_way
        .iter()
        .map(|run| {
            let slice = format!("{} {}", run.entity, run.period);
            let worker = run.worker.clone().unwrap_or_else(|| "-".to_owned());
            vec![slice, status(&run.status), run.attempts.to_string(), age(run.started_at, at), worker]
        })
        .collect();
    grid(&["UNDER WAY", "STATUS", "ATTEMPT", "SINCE", "WORKER"], &rows, width, 4)
}

fn operations(now: &Now, width: usize, at: DateTime<Utc>) -> Vec<String> {
    if now.operations.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Vec<String>> = now
        .operations
        .iter()
        .map(|seen| {
            let done = format!("{}/{}", seen.done, seen.total);
            let since = age(seen.started_at, at);
            vec![seen.act.clone(), status(&seen.state), done, since, seen.actor.clone(), seen.selected.clone()]
        })
        .collect();
    grid(&["ACT", "STATE", "DONE", "SINCE", "BY", "WHICH"], &rows, width, 5)
}

/// Columns below their names. If they are too wide, one gives way, down to its name.
fn grid(header: &[&str], rows: &[Vec<String>], width: usize, gives_way: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable::line(cell).into_owned()).collect()).collect();
    let widest = |(column, name): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.max().unwrap_or(0).max(name.width())
    };
    let mut widths: Vec<usize> = header.iter().enumerate().map(widest).collect();
    let too_much = (widths.iter().sum::<usize>() + GAP * header.len().saturating_sub(1)).saturating_sub(width);
    widths[gives_way] = widths[gives_way].saturating_sub(too_much).max(header[gives_way].width());
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                let cell = cut(cell, *width);
                let gap = " ".repeat(width - cell.width());
                cell + &gap
            })
            .collect();
        padded.join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let names: Vec<String> = header.iter().map(ToString::to_string).collect();
    std::iter::once(&names).chain(&rows).map(|cells| line(cells)).collect()
}

/// A text at the left and one at the right of a line.
fn beside(left: &str, right: &str, width: usize) -> String {
    let gap = width.saturating_sub(left.width() + right.width()).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

/// As much of a text as fits, without a word of what does not except that it is there. Marks stay.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    let mut is_full = width == 0;
    for c in text.chars() {
        let more = c.width().unwrap_or(0);
        if color::is_mark(c) {
            kept.push(c);
        } else if !is_full && taken + more < width {
            kept.push(c);
            taken += more;
        } else if !is_full {
            kept.push('…');
            is_full = true;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dead::written::Group,
        now::watch::{Queue, Sample, Waiting},
    };

    fn moment() -> DateTime<Utc> {
        "2022-07-01T12:00:00Z".parse().unwrap()
    }

    fn busy() -> Now {
        let queue = |name: &str| Queue { name: name.to_owned(), messages: 12, consumers: 1, trend: vec![1] };
        let names = ["aura.jobs", "aura.retry.1s", "aura.retry.2s", "aura.retry.4s", "aura.dead", "aura.dry-runs"];
        let what = "gl_metadata documents for MongoDB";
        let group = |number: usize| Group {
            group_id: format!("3f09c1d2a4b{number}"),
            code: "row_invalid".to_owned(),
            stage: None,
            source: None,
            cause: format!(
                "日本語 \u{1b}[2J a cause that is longer than any line of this screen can be, number {number}"
            ),
            jobs: 3,
            entities: 1,
            some_entities: Vec::new(),
            oldest: Some(moment()),
            newest: Some(moment()),
            last_10_minutes: 0,
            last_hour: 3,
            what_to_do: String::new(),
        };
        let mut sample = Sample::default();
        sample.at = moment();
        sample.queues = names.map(queue).to_vec();
        sample.waiting = vec![Waiting { what, number: 7, oldest: Some(moment()) }; 3];
        Now {
            sample,
            needs_attention: vec!["no worker takes jobs ".repeat(9); 6],
            under_way: Vec::new(),
            operations: Vec::new(),
            dead_letter_groups: (0..9).map(group).collect(),
        }
    }

    #[test]
    fn a_screen_of_any_size_holds_all_of_it_without_wrapping() {
        let now = busy();
        for width in 1..200 {
            for height in 1..60 {
                let lines = lines(Some(&now), width, height, moment());
                assert!(lines.len() <= height, "{} of {height}", lines.len());
                assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:#?}");
                assert!(!lines.concat().contains('\u{1b}'));
            }
        }
    }

    #[test]
    fn the_smallest_terminal_shows_each_part() {
        let text = lines(Some(&busy()), 80, 24, moment()).join("\n");
        for part in ["! no worker", "aura.dry-runs", "MESSAGES", "WAITING", "row_invalid: ", "no job runs", "… and "]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_colour_ends_where_its_line_is_cut() {
        let word = color::marked(|| status("failed"));
        assert_eq!(color::painted(&cut(&word, 3)), "\u{1b}[31mfa…\u{1b}[39m");
        assert_eq!(cut("abc", 3), "abc");
    }
}
