//! Limits that the settings and the message set.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::world::{World, csv, job, with};

#[tokio::test]
async fn what_is_larger_than_the_settings_allow_is_refused() {
    let world = World::new().await;
    let limits = [("AURA_MAX_FILE_BYTES", "5000"), ("AURA_MAX_RECORD_BYTES", "1024"), ("AURA_MAX_COLUMNS", "10")];
    let _worker = world.worker(&limits).await;
    let long = "x".repeat(2_000);
    let record = format!("{}A,2022-06,20,{long},1,BS,Assets\n", csv("A", "2022-06", &[("10", "1")]));
    let columns =
        csv("A", "2022-06", &[("10", "1")]).replacen('\n', ",a,b,c,d\n", 1).replacen("Assets\n", "Assets,,,,\n", 1);
    let file = csv("A", "2022-06", &[("10", "1")]) + &"\n".repeat(6_000);
    for (name, text) in [("record", record), ("columns", columns), ("file", file)] {
        let receipt = world.ends("failed", job(&world.write(name, text), "A", "2022-06")).await;
        let code = receipt["error"]["code"].as_str().unwrap();
        assert!(["file_too_large", "csv_malformed", "schema_invalid"].contains(&code), "{name}: {receipt:#}");
        assert_eq!(receipt["attempt"], 1, "{name}");
        if name != "columns" {
            assert_eq!(code, "file_too_large", "{name}: {receipt:#}");
        }
    }
    world.ends("success", job(&world.write("good", csv("A", "2022-06", &[("10", "1")])), "A", "2022-06")).await;
}

#[tokio::test]
async fn bytes_other_than_the_message_names_are_refused() {
    let (world, _worker) = World::with_worker().await;
    let text = csv("A", "2022-06", &[("10", "1")]);
    let file = world.write("a.csv", &text);
    let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let wrong = "0".repeat(64);
    let receipt = world.ends("failed", with(job(&file, "A", "2022-06"), json!({"sha256": wrong}))).await;
    assert_eq!(receipt["error"]["code"], "fingerprint_mismatch");
    assert_eq!(receipt["attempt"], 1);
    assert_eq!(world.slice("A", "2022-06").await.0, 0);
    let receipt = world.ends("success", with(job(&file, "A", "2022-06"), json!({"sha256": hash}))).await;
    assert_eq!(receipt["fingerprint"], hash);
}
