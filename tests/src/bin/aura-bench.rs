//! Measures a running worker, with `psql \copy` of the same rows beside it. `deploy/bench` calls it.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};
use tests::trial_balance::{Columns, TrialBalance};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long one job may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures a running worker, with `psql \copy` of the same rows beside it.
#[derive(Parser)]
#[command(after_help = "Reads AURA_AMQP_URL. deploy/bench sets everything up and calls it.")]
struct Arguments {
    /// The input root of the worker.
    #[arg(long)]
    dir: PathBuf,
    /// The process number of the worker, whose peak of memory is read.
    #[arg(long)]
    worker: u32,
    /// The program that runs psql on the worker's database.
    #[arg(long)]
    psql: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long)]
    out: PathBuf,
    /// Rows of the large file.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often small files are measured.
    #[arg(long, default_value_t = 50)]
    times: u64,
    /// How often the large file is measured.
    #[arg(long, default_value_t = 3)]
    large_times: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aura-bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// One line of the table.
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    target: Option<f64>,
}

async fn measure(arguments: Arguments) -> Result<()> {
    let mut client = Client::connect(&std::env::var("AURA_AMQP_URL")?).await?;
    let mut figures = Vec::new();
    for (rows, target) in [(501, 50.0), (2_736, 100.0)] {
        let (first, again) = small(&mut client, &arguments, rows).await?;
        figures.push(figure(&format!("{rows} rows, publish to receipt, first load"), first, "ms", Some(target)));
        figures.push(figure(&format!("{rows} rows, publish to receipt, reload"), again, "ms", Some(target)));
    }
    figures.extend(large(&mut client, &arguments).await?);
    figures.push(figure("worker, peak resident memory", peak_of(arguments.worker)?, "MB", Some(300.0)));
    report(&figures, &arguments)
}

fn figure(what: &str, value: f64, unit: &'static str, target: Option<f64>) -> Figure {
    Figure { what: what.to_owned(), value, unit, target }
}

/// The medians, in milliseconds, of loading an empty slice and of loading it again with other figures.
async fn small(client: &mut Client, arguments: &Arguments, rows: u64) -> Result<(f64, f64)> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    // Two more than are counted, so that connections and caches are warm.
    for number in 0..arguments.times + 2 {
        let entity = format!("S{rows}-{number}");
        for (seed, times) in [(1, &mut first), (2, &mut again)] {
            let path = arguments.dir.join(format!("{entity}-{seed}.csv"));
            let sample = TrialBalance::new(&entity, "2026-03", rows, seed + number * 2).with(Columns::Review);
            sample.save(&path)?;
            let (took, receipt) = client.run(&path, &entity).await?;
            if receipt["rows"] != rows {
                return Err(format!("{rows} rows were expected: {receipt}").into());
            }
            if number >= 2 {
                times.push(took.as_secs_f64());
            }
        }
    }
    Ok((in_thousandths(median(first)), in_thousandths(median(again))))
}

/// The large file: psql's time, the worker's, and their ratio; then the reload with a few changes.
async fn large(client: &mut Client, arguments: &Arguments) -> Result<Vec<Figure>> {
    let rows = arguments.rows;
    let (mut copy, mut load, mut reload) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..arguments.large_times {
        let entity = format!("L{number}");
        let path = arguments.dir.join("large.csv");
        TrialBalance::new(&entity, "2026-03", rows, 7).with(Columns::Review).save(&path)?;
        copy.push(copy_with_psql(&arguments.psql, &path)?.as_secs_f64());
        let (took, receipt) = client.run(&path, &entity).await?;
        if receipt["inserted"] != rows {
            return Err(format!("{rows} rows were expected to be inserted: {receipt}").into());
        }
        load.push(took.as_secs_f64());
        changed(&path)?;
        let (took, receipt) = client.run(&path, &entity).await?;
        if receipt["unchanged"].as_u64().unwrap_or(0) + receipt["updated"].as_u64().unwrap_or(0) != rows {
            return Err(format!("{rows} rows were expected to be checked against the slice: {receipt}").into());
        }
        reload.push(took.as_secs_f64());
        fs::remove_file(&path)?;
    }
    let (copy, load, reload) = (median(copy), median(load), median(reload));
    Ok(vec![
        figure(&format!("{rows} rows, psql \\copy into a keyed table"), copy, "s", None),
        figure(&format!("{rows} rows, publish to receipt, first load"), load, "s", None),
        figure("  the same, in times of psql \\copy", ratio(load, copy), "x", Some(2.5)),
        figure(&format!("{rows} rows, publish to receipt, reload with 1 % changed"), reload, "s", None),
        figure("  the same, in times of psql \\copy", ratio(reload, copy), "x", None),
    ])
}

/// Changes the balance of one row in a hundred.
fn changed(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let mut other = String::with_capacity(text.len() + text.len() / 100);
    for (number, line) in text.lines().enumerate() {
        // The account's name, which has a number at its end, comes before the balance.
        match line.split_once(",BS,").filter(|_| number > 0 && number % 50 == 0) {
            Some((before, after)) => {
                let start = before.rfind(',').ok_or("a row has a balance")?;
                other.push_str(&format!("{},{number}.5,BS,{after}\n", &before[..start]));
            }
            None => {
                other.push_str(line);
                other.push('\n');
            }
        }
    }
    fs::write(path, other)?;
    Ok(())
}

/// What `psql \copy` takes for the same file into a table with the same key.
fn copy_with_psql(psql: &Path, path: &Path) -> Result<Duration> {
    let run = |statements: &[&str]| -> Result<()> {
        let mut command = Command::new(psql);
        command.args(["psql", "-qX", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::null()).stdout(Stdio::null());
        for statement in statements {
            command.args(["-c", statement]);
        }
        if command.status()?.success() { Ok(()) } else { Err("psql failed".into()) }
    };
    let header = fs::File::open(path).map(std::io::BufReader::new)?;
    let header = std::io::BufRead::lines(header).next().ok_or("the file has a header")??;
    let amounts = ["balance", "balance_carryforward", "debit_period", "credit_period"];
    let kind = |name: &&str| if amounts.contains(name) { "numeric" } else { "text" };
    let columns: Vec<_> = header.split(',').map(|name| format!("{name} {}", kind(&name))).collect();
    let table = format!(
        "CREATE TABLE copied ({}, PRIMARY KEY (entity, period, company_code, account_code))",
        columns.join(", ")
    );
    run(&["SET client_min_messages = warning", "DROP TABLE IF EXISTS copied", &table])?;
    let copy = format!("\\copy copied ({header}) FROM '{}' WITH (FORMAT csv, HEADER)", path.display());
    let began = Instant::now();
    run(&[&copy])?;
    let took = began.elapsed();
    run(&["DROP TABLE copied"])?;
    Ok(took)
}

/// A client that publishes one job at a time and waits for its receipt.
struct Client {
    channel: Channel,
    receipts: Consumer,
    // The channel lives as long as its connection.
    _connection: Connection,
}

impl Client {
    async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, passive: true, ..ExchangeDeclareOptions::default() };
        let (events, none) = ("aura.events", FieldTable::default);
        channel.exchange_declare(events.into(), lapin::ExchangeKind::Topic, durable, none()).await?;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, none()).await?.name().clone();
        channel.queue_bind(queue.clone(), events.into(), "#".into(), QueueBindOptions::default(), none()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let receipts = channel.basic_consume(queue, "".into(), options, none()).await?;
        Ok(Self { channel, receipts, _connection: connection })
    }

    async fn run(&mut self, path: &Path, entity: &str) -> Result<(Duration, Value)> {
        let body = json!({"file": path, "entity": entity, "period": "2026-03"}).to_string();
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = ("aura.jobs".into(), "job".into());
        let began = Instant::now();
        let properties = BasicProperties::default().with_delivery_mode(2);
        self.channel.basic_publish(exchange, key, mandatory, body.as_bytes(), properties).await?.await?;
        let delivery = tokio::time::timeout(PATIENCE, self.receipts.next()).await?.ok_or("the broker went away")??;
        let took = began.elapsed();
        let receipt: Value = serde_json::from_slice(&delivery.data)?;
        if receipt["status"] == "success" { Ok((took, receipt)) } else { Err(format!("no success: {receipt}").into()) }
    }
}

/// The most memory that a process has had resident, in MB.
fn peak_of(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(ratio(kibibytes, 976.562_5))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]
fn ratio(one: f64, other: f64) -> f64 {
    one / other
}

fn in_thousandths(seconds: f64) -> f64 {
    ratio(seconds, 1e-3)
}

/// Prints the table and writes the same as JSON.
fn report(figures: &[Figure], arguments: &Arguments) -> Result<()> {
    println!("{:<58} {:>10}    {:>8}", "", "measured", "target");
    let mut list = Vec::new();
    for Figure { what, value, unit, target } in figures {
        let verdict = match target {
            Some(target) if value < target => format!("< {target:<6} met"),
            Some(target) => format!("< {target:<6} MISSED"),
            None => String::new(),
        };
        println!("{what:<58} {value:>10.1} {unit:<2} {verdict}");
        list.push(json!({"what": what.trim(), "value": value, "unit": unit, "target": target}));
    }
    let Arguments { rows, times, large_times, .. } = arguments;
    let all = json!({"rows": rows, "times": times, "large_times": large_times, "figures": list});
    fs::write(&arguments.out, format!("{all:#}\n"))?;
    Ok(())
}
