//! What Aura's own `verify` says of the same stores: it must not find less than is there, nor more.

use serde_json::Value;

use super::Findings;
use crate::{faults::World, program::Said};

/// Runs `aura-producer verify` over everything; each of its findings is one.
///
/// What RabbitMQ put among the dead by itself is written down first, by whoever lists them.
pub(super) async fn check(world: &World, findings: &mut Findings) {
    let Said { code, stderr: errors, .. } = world.run_producer(&["dead", "list"]).await;
    if code != 0 {
        findings.wrong(format!("dead list ended with {code}: {errors}"));
    }
    let Said { code, stdout: told, stderr: errors } = world.run_producer(&["verify", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap_or_default();
    let Some(found) = report["findings"].as_array() else {
        findings.wrong(format!("verify ended with {code} and no report: {errors}"));
        return;
    };
    for one in found {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        let (code, entity, period, detail) = (text("code"), text("entity"), text("period"), text("detail"));
        if code == "letter_gone" && detail.contains("cut off") {
            findings.notes.push(format!("{} had been replayed or discarded when its command ended", one["job_id"]));
            continue;
        }
        findings.wrong(format!("verify: {code} {entity} {period}: {detail} (job {})", one["job_id"]));
    }
    if code != i32::from(!found.is_empty()) {
        findings.wrong(format!("verify found {} things and ended with {code}: {errors}", found.len()));
    }
}
