//! The short form of `deploy/chaos`.

use std::time::Duration;

use tests::faults::chaos;

use crate::run::world_to_break;

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_random_faults_loses_doubles_and_falsifies_nothing() {
    let (_hold, world) = world_to_break().await;
    let report = chaos::run(&world, None, 1, Duration::from_secs(45)).await;
    println!("{report}");
    assert!(report.findings.is_clean(), "{report}");
}
