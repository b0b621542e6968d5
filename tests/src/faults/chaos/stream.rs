//! The stream of jobs: exports, corrections, copies, bad files, late ones, forced ones, no jobs.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{SecondsFormat, TimeDelta, Utc};
use lapin::BasicProperties;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    broken::{Fault, with_fault},
    faults::{
        World,
        book::{Content, Export, Publication},
    },
    hostile::wire::{Answer, Properties, Wire, long, short},
    random::Random,
    wait::until,
};

/// Slices that the jobs are spread over.
const ENTITIES: u64 = 40;
/// Slices whose jobs have no time.
const UNDATED: u64 = 2;
/// Faults of files, and the codes with which such a file fails.
const BAD: [(Fault, &str); 4] = [
    (Fault::BadAmount, "row_invalid"),
    (Fault::DuplicateKey, "duplicate_key"),
    (Fault::MissingColumn, "schema_invalid"),
    (Fault::OtherSlice, "slice_not_found"),
];

/// The entity at a place.
pub(super) fn entity(place: u64) -> String {
    format!("E{:02}", place % ENTITIES)
}

/// A stream of jobs, which ends when it is told to.
pub struct Stream<'a> {
    world: &'a World,
    random: std::sync::Mutex<Random>,
    ends: AtomicBool,
}

impl<'a> Stream<'a> {
    /// A stream of jobs that follow from numbers.
    pub fn new(world: &'a World, random: Random) -> Self {
        Self { world, random: std::sync::Mutex::new(random), ends: AtomicBool::new(false) }
    }

    /// Ends it.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Publishes until it is told to end; returns how many messages, and how many replays there were and were cut off.
    pub async fn run(&self) -> (u64, u64, u64) {
        let (mut number, mut replays, mut cut_off) = (0, 0, 0);
        let mut last: Vec<Publication> = Vec::new();
        let mut late: Vec<(Uuid, Export, String)> = Vec::new();
        while !self.ends.load(Ordering::Relaxed) {
            let job = self.job(number, &mut last, &mut late);
            number += 1;
            let properties = match job.expires {
                true => BasicProperties::default().with_expiration((number % 17 * 200 + 200).to_string().into()),
                false => BasicProperties::default(),
            };
            if matches!(job.content, Content::Refused) {
                self.publish_hostile(job, number).await;
            } else {
                self.world.publish_with(job, properties).await;
            }
            if number % 150 == 0 {
                // The files that were late are there now.
                for (id, export, name) in late.drain(..) {
                    let path = self.world.path();
                    if path.join("in").is_dir() {
                        self.world.write(&name, export.text());
                        self.world.book.mend(id, &export);
                        self.world.book.allow(id, "file_not_found");
                    }
                }
                // One that is cut off loses nothing; but somebody waits for it.
                if !self.world.producer_ends(&["dead", "replay", "--code", "file_not_found"]).await {
                    let said = std::fs::read_to_string(self.world.path().join("logs/producer-said"));
                    println!("          a replay was cut off, which had said: {}", said.unwrap_or_default());
                    cut_off += 1;
                }
                replays += 1;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        (number, replays, cut_off)
    }

    /// Publishes what is not a job with properties that no library would send.
    async fn publish_hostile(&self, job: Publication, number: u64) {
        let mut deep = vec![b'V'];
        for _ in 0..500 {
            deep = [&[b'A'][..], &long(&deep)].concat();
        }
        let properties = match number % 3 {
            0 => Properties::one(7, short(b"Gesch\xe4ft")),
            1 => Properties::headers(&[&short(b"deep")[..], &deep].concat()),
            _ => Properties::headers(&[&short(b"large")[..], b"S", &long(&[b'x'; 90_000])].concat()),
        };
        let (url, body) = (self.world.amqp(), job.body.clone().into_bytes());
        self.world.book.enter(job);
        let patience = Duration::from_secs(120);
        until("a hostile message is confirmed", patience, async || {
            let (url, properties, body) = (url.clone(), properties.clone(), body.clone());
            let sent = tokio::task::spawn_blocking(move || {
                Wire::connect(&url)?.publish("aura.jobs", b"job", &properties, &body)
            });
            (sent.await.ok()?.ok()? == Answer::Confirmed).then_some(())
        })
        .await;
    }

    fn job(&self, number: u64, last: &mut Vec<Publication>, late: &mut Vec<(Uuid, Export, String)>) -> Publication {
        let mut random = self.random.lock().expect("the numbers");
        let entity = entity(random.next());
        let kind = random.between(0, 99);
        let export = Export::numbered(&entity, "2022-06", random.between(3, 60) as u32, number.into());
        // One in five is older than some that went before. No two have the same time.
        let behind = if random.percent(20) { random.between(1, 90) } else { 0 };
        let at = Utc::now() - TimeDelta::seconds(behind.cast_signed());
        let at = format!("{}.{:06}Z", at.to_rfc3339_opts(SecondsFormat::Secs, true).trim_end_matches('Z'), number);
        let mode = random.one_of(&["upsert", "replace"]);
        let mut more = json!({"exported_at": at, "mode": mode});
        let (name, text) = (format!("in/{entity}_{number}.csv"), export.text());
        if kind < 8
            && let Some(copy) = (!last.is_empty()).then(|| last[random.next() as usize % last.len()].clone())
        {
            return copy;
        }
        // Of these nothing comes again: a copy may overtake its original, and then stands at its own time.
        match kind {
            92..96 => {
                let export = Export { entity: format!("U{}", number % UNDATED), ..export };
                let file = self.file(&format!("in/{}_{number}.csv", export.entity), export.text().as_bytes());
                let job = Publication::of(&file, &export, json!({"mode": mode})).or("ambiguous_order");
                return Publication { place: Some(number), ..job };
            }
            96.. => {
                let job = Publication::of(&self.file(&name, text.as_bytes()), &export, more);
                return Publication { expires: true, ..job };
            }
            _ => {}
        }
        let job = match kind {
            8..14 => {
                let (fault, code) = random.one_of(&BAD);
                let file = self.file(&name, &with_fault(&text, fault));
                Publication::failing(&file, &entity, "2022-06", &[code], more)
            }
            14..18 => {
                let file = self.world.path().join(&name);
                let job = Publication::failing(&file, &entity, "2022-06", &["file_not_found"], more);
                if random.percent(70) {
                    late.push((job.job_id, export, name));
                }
                return job;
            }
            18..20 => return Publication::refused(&self.world.path().join(&name), &entity, "2022-06"),
            20..24 => {
                more["force"] = Value::Bool(true);
                more["reason"] = "chaos".into();
                Publication::of(&self.file(&name, text.as_bytes()), &export, more)
            }
            24..30 if !last.is_empty() => {
                // The same file once more, exported again.
                let before = last[random.next() as usize % last.len()].clone();
                let Content::Good(export) = &before.content else { return before };
                more["mode"] = before.message["mode"].clone();
                let file = before.message["file"].as_str().unwrap_or_default().to_owned();
                Publication::of(std::path::Path::new(&file), export, more)
            }
            _ => Publication::of(&self.file(&name, text.as_bytes()), &export, more),
        };
        if last.len() < 50 {
            last.push(job.clone());
        } else {
            let place = random.next() as usize % last.len();
            last[place] = job.clone();
        }
        job
    }

    /// Writes a file where the input root is, which may be away.
    fn file(&self, name: &str, text: &[u8]) -> std::path::PathBuf {
        let folder = self.world.path();
        if !folder.join("in").is_dir() {
            let away = name.replacen("in/", "in.away/", 1);
            self.world.write(&away, text);
            return folder.join(name);
        }
        self.world.write(name, text)
    }
}
