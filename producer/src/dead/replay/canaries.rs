//! Canaries: one job of each cause goes first, and the others only where it has not failed.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Replay, Standing, following::told};
use crate::{
    dead::{
        queue::{Dead, Held},
        settled::{Canary, Left},
    },
    errors::CommandError,
};

impl<'a> Replay<'a> {
    /// Replays one job of each group, waits for all of them, and leaves the jobs of those groups aside whose
    /// canary failed.
    ///
    /// # Errors
    /// A service fails.
    pub(super) async fn canaries(
        &'a self,
        held: &Held,
        jobs: &mut Vec<Vec<Dead>>,
        standing: &mut Standing<'a>,
    ) -> Result<(), CommandError> {
        let (mut groups, mut first, mut rest) = (HashSet::new(), Vec::new(), Vec::new());
        for copies in jobs.drain(..) {
            let Some(Dead { letter, .. }) = copies.last() else { continue };
            let is_first = letter.job_id.is_some() && groups.insert(letter.cause().group_id);
            if is_first { first.push(copies) } else { rest.push(copies) }
        }
        *jobs = rest;
        let letters = first.iter().filter_map(|copies| copies.last()).map(|dead| &dead.letter);
        let named: Vec<(Uuid, String)> =
            letters.filter_map(|letter| Some((letter.job_id?, letter.cause().group_id))).collect();
        let following = self.follow(held, &first).await?;
        let sent = self.send(first, standing).await;
        let standing_progress = standing.progress();
        let Some(report) = &mut standing.report else { return sent };
        let new = |id: Uuid| report.jobs.iter().find(|job| job.job_id == Some(id)).and_then(|job| job.new_job_id);
        let followed: Vec<(Uuid, String)> =
            named.into_iter().map(|(id, group)| (new(id).unwrap_or(id), group)).collect();
        let receipts = match report.left.is_empty() && sent.is_ok() {
            true => {
                let ids: Vec<Uuid> = followed.iter().map(|(id, _)| *id).collect();
                let ended = following.until_ended(&ids, self.limit());
                // Whoever looks on must not take it for dead meanwhile.
                let living = self.operation.live(standing_progress);
                tokio::select! { ended = ended => ended, () = living => Default::default() }
            }
            false => Default::default(),
        };
        following.close().await;
        sent?;
        if !report.left.is_empty() {
            return Ok(());
        }
        for (job, group) in followed {
            let (told, failed) = told(job, receipts.get(&job), self.limit());
            if failed {
                standing.held_back.insert(group.clone());
            }
            report.canary_failed |= failed;
            report.canaries.push(Canary { group_id: group, job_id: job, told, failed });
        }
        report.canary = Some(report.canaries.iter().map(|canary| canary.told.as_str()).collect::<Vec<_>>().join("; "));
        jobs.retain(|copies| {
            let Some(Dead { letter, .. }) = copies.last() else { return false };
            let group = letter.cause().group_id;
            if !groups.contains(&group) {
                let error = "no job of its cause has a job_id to follow; replay it without --canary".to_owned();
                report.refused.push(Left { job: letter.name(), error });
                standing.done.insert((letter.name(), letter.body_hash));
                return false;
            }
            let is_held_back = standing.held_back.contains(&group);
            report.held_back += usize::from(is_held_back);
            !is_held_back
        });
        report.not_tried += report.held_back;
        Ok(())
    }
}
