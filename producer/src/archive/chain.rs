//! One chain, followed event by event from its beginning to its head. Pure: the writer and the checker both use it.

use serde_json::{Map, Value};
use shared::{fingerprint::Fingerprint, stores::audit_chain::GENESIS};

/// How far a chain has been followed, and what its events tell of the slice's rows.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) events: u64,
    /// The hash of the last event.
    pub(super) head: String,
    /// What the last `file_ingested` told.
    pub(super) ingested: Option<Ingested>,
}

/// What a `file_ingested` tells of its slice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ingested {
    pub(super) job_id: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) slice_rows: Option<u64>,
    pub(super) slice_sum: Option<String>,
}

impl Follower {
    /// Begins before the first event.
    pub(super) fn new() -> Self {
        Self { events: 0, head: GENESIS.to_owned(), ingested: None }
    }

    /// Follows the next event of the chain of (entity, period): its canonical text, the same as an object, and the hash
    /// that is kept with it.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(super) fn follow(
        &mut self,
        (entity, period): (&str, &str),
        text: &str,
        event: &Map<String, Value>,
        stored: &str,
    ) -> Result<(), String> {
        let place = self.events + 1;
        let value = |name: &str| event.get(name).and_then(Value::as_str);
        match event.get("seq").and_then(Value::as_u64) {
            Some(seq) if seq == place => {}
            Some(seq) => return Err(format!("event {seq} stands where event {place} should")),
            None => return Err(format!("the event that stands where event {place} should has no place")),
        }
        if Fingerprint::of(text.as_bytes()).to_string() != stored {
            return Err(format!("the hash does not fit what stands in event {place}"));
        }
        if (value("entity"), value("period")) != (Some(entity), Some(period)) {
            return Err(format!("event {place} is of another slice"));
        }
        if value("prev_hash") != Some(&self.head) {
            return Err(format!("event {place} does not follow event {}", place - 1));
        }
        (self.events, self.head) = (place, stored.to_owned());
        if value("event_type") == Some("file_ingested") {
            let owned = |name: &str| value(name).map(str::to_owned);
            let detail = |name: &str| event.get("metadata").and_then(|metadata| metadata.get(name));
            self.ingested = Some(Ingested {
                job_id: owned("job_id"),
                fingerprint: owned("file_fingerprint"),
                slice_rows: detail("slice_rows").and_then(Value::as_u64),
                slice_sum: detail("slice_sum").and_then(Value::as_str).map(str::to_owned),
            });
        }
        Ok(())
    }

    /// What is wrong with the chain's end.
    pub(super) fn ends_at(&self, events: u64, head: &str) -> Result<(), String> {
        if self.events != events {
            return Err(format!("the chain has {} events, and should have {events}", self.events));
        }
        if self.head != head {
            return Err(format!("event {events} is not the one that the chain should end with"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::stores::audit_chain;

    use super::*;

    /// A chain of so many events: of each its text, and its hash.
    fn chain_of(length: i64) -> Vec<(String, String)> {
        let mut before = GENESIS.to_owned();
        let event = |seq| {
            let event = json!({
                "event_type": "file_ingested", "entity": "A", "period": "2022-06", "job_id": format!("job {seq}"),
                "file_fingerprint": "ab", "metadata": {"slice_rows": seq, "slice_sum": "1.5"}
            });
            let (linked, hash) = audit_chain::link(&event, seq, &before).unwrap();
            before.clone_from(&hash);
            (audit_chain::canonical(&linked).unwrap(), hash)
        };
        (1..=length).map(event).collect()
    }

    fn followed(chain: &[(String, String)]) -> Result<Follower, String> {
        let mut follower = Follower::new();
        for (text, hash) in chain {
            let event: Map<String, Value> = serde_json::from_str(text).unwrap();
            follower.follow(("A", "2022-06"), text, &event, hash)?;
        }
        Ok(follower)
    }

    #[test]
    fn a_whole_chain_is_followed_to_its_head() {
        let chain = chain_of(3);
        let follower = followed(&chain).unwrap();
        assert_eq!((follower.events, &follower.head), (3, &chain[2].1));
        let ingested = follower.ingested.clone().unwrap();
        assert_eq!((ingested.job_id.as_deref(), ingested.slice_rows), (Some("job 3"), Some(3)));
        assert_eq!(follower.ends_at(3, &chain[2].1), Ok(()));
        assert!(follower.ends_at(4, &chain[2].1).unwrap_err().contains("has 3 events"));
        assert!(follower.ends_at(3, GENESIS).unwrap_err().contains("event 3"));
        assert_eq!(Follower::new().ends_at(0, GENESIS), Ok(()));
    }

    #[test]
    fn whatever_is_done_to_a_chain_is_told() {
        let chain = chain_of(4);
        let fault = |change: fn(&mut Vec<(String, String)>)| {
            let mut changed = chain.clone();
            change(&mut changed);
            followed(&changed).unwrap_err()
        };
        assert_eq!(fault(|it| _ = it.remove(1)), "event 3 stands where event 2 should");
        assert_eq!(fault(|it| it.swap(1, 2)), "event 3 stands where event 2 should");
        let changed: fn(&str) -> String = |text| text.replace("\"slice_rows\":2", "\"slice_rows\":9");
        assert_eq!(
            fault(|it| it[1].0 = it[1].0.replace("\"slice_rows\":2", "\"slice_rows\":9")),
            "the hash does not fit what stands in event 2"
        );
        let mut rehashed = chain.clone();
        rehashed[1].0 = changed(&rehashed[1].0);
        rehashed[1].1 = Fingerprint::of(rehashed[1].0.as_bytes()).to_string();
        assert_eq!(followed(&rehashed).unwrap_err(), "event 3 does not follow event 2");
        let other = Follower::new().follow(("B", "2022-06"), &chain[0].0, &Map::new(), "");
        assert!(other.unwrap_err().contains("has no place"));
        let event: Map<String, Value> = serde_json::from_str(&chain[0].0).unwrap();
        let other = Follower::new().follow(("B", "2022-06"), &chain[0].0, &event, &chain[0].1);
        assert_eq!(other.unwrap_err(), "event 1 is of another slice");
    }
}
