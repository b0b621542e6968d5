//! `publish --dry-run`: what would become of jobs, were they published.

use std::time::Duration;

use shared::{broker::topology::Topology, message::dry_run::Would, settings::Settings};

use super::message::Prepared;
use crate::{
    dry_run::{
        Question, ask,
        report::{Report, Tried},
    },
    errors::CommandError,
};

/// How long a worker gets for each job.
const LIMIT: Duration = Duration::from_secs(120);

/// Has workers try jobs.
///
/// # Errors
/// If the broker fails, or no worker takes dry runs.
pub(super) async fn dry_run(
    jobs: &[Prepared],
    settings: &Settings,
    topology: &Topology,
) -> Result<Report, CommandError> {
    let questions = jobs.iter().map(|prepared| Question { message: prepared.outgoing.clone() }).collect();
    let answers = ask(settings, topology, questions, LIMIT, usize::MAX).await?;
    let tried = jobs.iter().zip(answers).map(|(Prepared { job, .. }, told)| {
        let tried = Tried {
            job_id: Some(job.job_id),
            entity: Some(job.slice.entity.to_string()),
            period: Some(job.slice.period.to_string()),
            file: Some(job.file.clone()),
            code: None,
            file_now: None,
            would: Would::Unknown,
            why: None,
            others_of_slice: 0,
            told: None,
        };
        tried.told(told, None)
    });
    Ok(Report::new(tried.collect(), Vec::new()))
}
