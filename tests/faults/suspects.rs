//! A job whose file kills the worker that reads it, and its neighbours.

use serde_json::json;
use tests::wait::until;

use crate::run::{SETTLED, export, is_whole, publish_many, site};

#[tokio::test]
async fn a_job_that_kills_its_worker_is_condemned_after_four_deaths_alone_and_no_neighbour_is() {
    let (_hold, site) = site().await;
    publish_many(&site, "BEFORE", 6).await;
    let killer = site.publish(export(&site, "KILLER", 10, 10, json!({})).or("crash_suspect")).await;
    publish_many(&site, "AFTER", 6).await;
    let mut deaths = 0;
    // What a supervisor does: a worker that has died is started again.
    let mut worker = site.worker_with_failpoint("loaded:KILLER", &[("AURA_CONCURRENCY", "8")]);
    until("the killer has ended", SETTLED, async || {
        if worker.exit().is_some() {
            deaths += 1;
            assert!(deaths < 12, "the job is never condemned");
            worker = site.worker_with_failpoint("loaded:KILLER", &[("AURA_CONCURRENCY", "8")]);
        }
        (!site.client.receipts_of(killer).is_empty()).then_some(())
    })
    .await;
    let findings = is_whole(&site).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (12, 1), "{findings}");
    let run = site.run(killer).await;
    assert_eq!((&run["error_code"], &run["deaths"]), (&json!("crash_suspect"), &json!(4)));
    // The first death was in company, four more alone.
    assert_eq!(deaths, 5);
}

#[tokio::test]
async fn two_killers_and_their_neighbours_end_each_as_it_deserves() {
    let (_hold, site) = site().await;
    let killers = ["KILLER", "KILLER"].map(|_| ());
    let mut ids = Vec::new();
    for (place, ()) in killers.into_iter().enumerate() {
        let job = crate::run::export_at(
            &site,
            "KILLER",
            10,
            10 + place as u32,
            &format!("2022-07-01T1{place}:00:00Z"),
            json!({}),
        );
        ids.push(site.publish(job.or("crash_suspect")).await);
        publish_many(&site, &format!("N{place}"), 10).await;
    }
    let mut workers: Vec<_> = (0..2).map(|_| site.worker_with_failpoint("loaded:KILLER", &[])).collect();
    let mut deaths = 0;
    until("both killers have ended", SETTLED, async || {
        for worker in &mut workers {
            if worker.exit().is_some() {
                deaths += 1;
                assert!(deaths < 24, "the jobs are never condemned");
                *worker = site.worker_with_failpoint("loaded:KILLER", &[]);
            }
        }
        ids.iter().all(|id| !site.client.receipts_of(*id).is_empty()).then_some(())
    })
    .await;
    let findings = is_whole(&site).await;
    assert_eq!((findings.outcome("success"), findings.outcome("failed")), (20, 2), "{findings}");
}
