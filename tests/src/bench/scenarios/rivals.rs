//! What people load such files with today, beside Aura and beside `psql \copy`: the same rows, the same key.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::{collections::BTreeMap, fs, time::Duration};

use super::month_end::ROWS;
use crate::bench::{
    Bench, Extent,
    figures::Figure,
    files::{File, ONE_PERCENT},
    reference::{REFERENCE, fault},
    rivals::{Rival, Rivals, TABLE, Task},
};

/// Files of the third piece of work.
const FILES: u64 = 20;
/// Aura's rows of the files that are compared.
const LEDGER: &str = "(SELECT * FROM gl_accounts WHERE entity IN (SELECT entity FROM reference))";
/// The names of what Aura takes, before those of the rivals.
const AURA: [&str; 2] = ["Aura, publish to receipt", "Aura, to the commit"];

/// A piece of work: files that everyone loads.
struct Work {
    what: String,
    task: Task,
    files: Vec<File>,
}

impl Work {
    fn rows(&self) -> f64 {
        self.files.iter().map(|file| file.rows as f64).sum()
    }
}

/// What was measured of one program at one piece of work.
#[derive(Default)]
struct Measured {
    took: Vec<Duration>,
    floor: Vec<Duration>,
    /// What it could not do or did wrong.
    note: Option<String>,
}

/// By the place of the work and the name of the program, with the rows that are loaded.
type Table = BTreeMap<(usize, String), (f64, Measured)>;

pub(super) async fn run(extent: &Extent) -> Vec<Figure> {
    let mut bench = Bench::new(extent).await;
    let workers = bench.workers(1).await;
    let rivals = Rivals::of(&bench).await;
    let (installed, mut figures) = installed(&rivals);
    let mut table = Table::new();
    for round in 0..extent.large_times {
        let works = works(&bench, extent, round);
        aura(&mut bench, &works, &mut table).await;
        for rival in &installed {
            beside(&bench, &rivals, *rival, &works, &mut table).await;
        }
    }
    drop(workers);
    for (place, what) in whats(extent).iter().enumerate() {
        let these = table.iter().filter(|((work, _), _)| *work == place);
        figures.extend(these.flat_map(|((_, program), (rows, measured))| shown(what, program, *rows, measured)));
    }
    for rival in installed {
        figures.push(start_up(&rivals, rival, extent.large_times).await);
    }
    figures
}

/// The rivals that can be run, and a line for each that cannot.
fn installed(rivals: &Rivals) -> (Vec<Rival>, Vec<Figure>) {
    let (mut installed, mut lines) = (Vec::new(), Vec::new());
    for rival in Rival::ALL {
        match rivals.not_installed(rival) {
            None => installed.push(rival),
            Some(why) => lines.push(Figure::note(rival.name(), why)),
        }
    }
    (installed, lines)
}

fn whats(extent: &Extent) -> [String; 3] {
    let rows = extent.rival_rows;
    [format!("{rows} rows, first load"), format!("{rows} rows, 1 % changed"), format!("{FILES} x {ROWS} rows")]
}

/// Writes the files of a round, each piece of work's in a folder of its own.
fn works(bench: &Bench, extent: &Extent, round: u64) -> [Work; 3] {
    let folder = |name: &str| {
        let folder = bench.input(&format!("{name}-{round}"));
        fs::create_dir(&folder).expect("a folder");
        folder
    };
    let entity = format!("V{round}");
    let one = File::write(folder("first").join("one.csv"), &entity, extent.rival_rows, round);
    let later = File { path: folder("later").join("one.csv"), ..one.clone() };
    fs::copy(&one.path, &later.path).expect("a file can be copied");
    later.change(ONE_PERCENT);
    let many = folder("many");
    let write = |number: u64| {
        let entity = format!("V{round}-{number}");
        File::write(many.join(format!("{entity}.csv")), &entity, ROWS, number)
    };
    let files = (0..FILES).map(write).collect();
    let [first, again, twenty] = whats(extent);
    [
        Work { what: first, task: Task::First, files: vec![one] },
        Work { what: again, task: Task::Again, files: vec![later] },
        Work { what: twenty, task: Task::First, files },
    ]
}

/// Aura loads everything, with `psql \copy` before each.
async fn aura(bench: &mut Bench, works: &[Work; 3], table: &mut Table) {
    for (place, work) in works.iter().enumerate() {
        let floor = bench.floor.copy(&work.files, 1).await;
        let (took, ended) = bench.client.run_all(work.files.iter().map(File::job).collect()).await;
        bench.settled().await;
        bench.floor.fill(REFERENCE, &work.files).await;
        let fault = fault(&bench.world.postgres, LEDGER).await;
        assert!(fault.is_none(), "Aura, {}: {fault:?}", work.what);
        let mut times = vec![took];
        if let [end] = ended.as_slice() {
            times.push(Duration::from_secs_f64(end.to_commit()));
        }
        for (name, took) in AURA.into_iter().zip(times) {
            let measured = measured(table, place, name, work);
            measured.took.push(took);
            measured.floor.push(floor);
        }
    }
}

/// A rival loads everything, with `psql \copy` before each.
async fn beside(bench: &Bench, rivals: &Rivals, rival: Rival, works: &[Work; 3], table: &mut Table) {
    for (place, work) in works.iter().enumerate() {
        let measured = measured(table, place, rival.name(), work);
        if let Some(why) = rival.refusal(work.task) {
            measured.note = Some(why.to_owned());
            continue;
        }
        let floor = bench.floor.copy(&work.files, 1).await;
        if work.task == Task::First {
            rivals.reset(bench, work.files.first().expect("a file")).await;
        }
        match rivals.run(rival, work.task, &work.files).await {
            Err(why) => measured.note = Some(why),
            Ok(took) => {
                measured.took.push(took);
                measured.floor.push(floor);
                bench.floor.fill(REFERENCE, &work.files).await;
                measured.note = fault(&bench.world.postgres, TABLE).await.or(measured.note.take());
            }
        }
    }
}

fn measured<'a>(table: &'a mut Table, place: usize, name: &str, work: &Work) -> &'a mut Measured {
    &mut table.entry((place, name.to_owned())).or_insert_with(|| (work.rows(), Measured::default())).1
}

/// The figures of one program at one piece of work: its time, its rows in a second, and what was wrong.
fn shown(what: &str, program: &str, rows: f64, measured: &Measured) -> Vec<Figure> {
    let name = format!("{what}: {program}");
    let mut figures = Vec::new();
    if !measured.took.is_empty() {
        let rates = measured.took.iter().map(|took| rows / took.as_secs_f64());
        figures.push(Figure::seconds(&name, measured.took.iter().copied()).over(&measured.floor));
        figures.push(Figure::of("  rows in a second: ".to_owned() + program, "rows/s", rates));
    }
    figures.extend(measured.note.as_ref().map(|why| Figure::note(&name, why)));
    figures
}

/// What a rival's times hold of starting up alone.
async fn start_up(rivals: &Rivals, rival: Rival, times: u64) -> Figure {
    let name = format!("of which to start up: {}", rival.name());
    let mut took = Vec::new();
    for _ in 0..times {
        match rivals.start_up(rival).await {
            Err(why) => return Figure::note(name, why),
            Ok(time) => took.push(time),
        }
    }
    Figure::seconds(name, took)
}
