//! The measuring program: that it measures, not how fast anything is.

use std::time::Duration;

use serde_json::Value;
use tests::program::{command, run};

#[tokio::test]
async fn each_figure_of_the_measuring_program_has_its_values_and_its_floor() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let mut measuring = command("aura-bench", folder.path(), &[]);
    // The services are found by the same settings as those of tests.
    measuring.envs(std::env::vars().filter(|(name, _)| name.starts_with("AURA_")));
    measuring.args(["small", "large", "month-end", "--rows", "1000", "--times", "1", "--large-times", "1"]);
    measuring.args(["--entities", "3", "--out"]).arg(&out);
    let said = run(measuring, Duration::from_secs(300)).await.expect(0);
    let result: Value = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    let figures = result["figures"].as_array().unwrap();
    for (scenario, with_floor) in [("small", 4), ("large", 3), ("month-end", 2)] {
        let these = || figures.iter().filter(|figure| figure["scenario"] == scenario);
        assert_eq!(these().filter(|figure| figure["ratio"].is_number()).count(), with_floor, "{}", said.stdout);
        assert!(these().all(|figure| figure["median"].as_f64().is_some_and(f64::is_finite)), "{}", said.stdout);
    }
    let mut measuring = command("aura-bench", folder.path(), &[]);
    measuring.arg("everything");
    let unknown = run(measuring, Duration::from_secs(60)).await.expect(2).stderr;
    assert!(unknown.contains("no scenario") && unknown.contains("month-end"), "{unknown}");
}
