//! The log: JSON lines in a file and on stdout, readable lines on a terminal, and traces over OTLP.

mod filter;
mod json_lines;
mod log_file;
mod mongo_error;
mod otlp;

use std::{
    collections::HashMap,
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::Mutex,
};

use opentelemetry::{
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TraceId, TracerProvider},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde_json::Map;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    field::RecordFields,
    filter::{FilterExt, filter_fn},
    fmt::{FormatFields, format::Writer},
    prelude::*,
    registry::LookupSpan,
};

use crate::{printable, terminal::takes_colors, tls};

pub use self::otlp::{end_metrics, meter_provider};
use self::{
    json_lines::{Collect, JsonLines, SpanFields},
    log_file::LogFile,
};

/// Where log lines go beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Stdout: JSON, or readable lines where it is a terminal. For a program that runs by itself.
    Stdout,
    /// Readable warnings on stderr, since stdout holds the answer. For a command.
    Stderr,
}

/// Who logs, and sends traces and metrics.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The program.
    pub service: &'static str,
    /// The name that a worker has among others; each of its lines bears it.
    pub worker: Option<String>,
}

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("AURA_LOG is not a log filter such as info or warn,aura_worker=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The filter names what is not there.
    #[error("AURA_LOG is not a log filter such as info or warn,aura_worker=debug: {0}")]
    UnknownName(String),
    /// The folder cannot be made or written.
    #[error("cannot write logs to {path}; set AURA_LOG_DIR to a folder that can be written")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The OTLP exporter cannot be set up.
    #[error("cannot export traces and metrics as the OTEL_EXPORTER_OTLP_* variables say")]
    Otlp(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Keeps the exporter; what it holds is sent when this is dropped.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            let _ = writeln!(io::stderr(), "traces were not sent: {error}");
        }
    }
}

/// Starts logging for this process, into a file of the folder, if there is one, and onto the console.
///
/// # Errors
/// If the filter cannot be read, the folder not be written, or the exporter not be set up.
pub fn start(
    identity: &Identity,
    folder: Option<&Path>,
    filter: &str,
    console: Console,
) -> Result<Telemetry, TelemetryError> {
    start_with(identity, folder, filter, console)
}

/// The same without a file, for a command that has nothing to answer for.
///
/// # Errors
/// If the filter cannot be read, or the exporter not be set up.
pub fn start_without_file(identity: &Identity, filter: &str, console: Console) -> Result<Telemetry, TelemetryError> {
    start_with(identity, None, filter, console)
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn start_with(
    identity: &Identity,
    folder: Option<&Path>,
    filter: &str,
    console: Console,
) -> Result<Telemetry, TelemetryError> {
    tls::use_ring();
    filter::check(filter).map_err(TelemetryError::UnknownName)?;
    // The broker's library tells of every lost connection itself; the supervisor tells it once. The
    // object stores' library tells addresses, PostgreSQL's the values of each statement, which are cells.
    let quiet = format!(
        "{filter},lapin=off,object_store=off,tokio_postgres=info,opentelemetry_sdk=error,opentelemetry-otlp=error,refinery_core=warn"
    );
    // Lines are filtered; spans are not, since their fields are in the lines, and since they are the traces.
    let filter = || EnvFilter::try_new(&quiet).map(|lines| lines.or(filter_fn(is_own_span)));
    let [for_file, for_stdout] = [filter(), filter()].map(|filter| filter.map_err(TelemetryError::Filter));
    let (for_file, for_stdout) = (for_file?, for_stdout?);
    let lines = |to: Box<dyn Write + Send>| JsonLines { writer: Mutex::new(to), worker: identity.worker.clone() };
    let open = |folder: &Path| {
        LogFile::open(folder).map_err(|source| TelemetryError::Folder { path: folder.display().to_string(), source })
    };
    let file = folder.map(open).transpose()?;
    let provider = otlp::tracer_provider(identity)?;
    let mut layers: Vec<BoxedLayer> = Vec::new();
    if let Some(tracer) = provider.as_ref().map(|provider| provider.tracer(identity.service)) {
        layers.push(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter_fn(is_traced)).boxed());
    }
    layers.push(SpanFields.with_filter(filter_fn(is_own_span)).boxed());
    if let Some(file) = file {
        layers.push(lines(Box::new(file)).with_filter(for_file).boxed());
    }
    layers.push(match console {
        Console::Stdout if io::stdout().is_terminal() => {
            readable().with_ansi(takes_colors(&io::stdout())).with_filter(for_stdout).boxed()
        }
        Console::Stdout => lines(Box::new(io::stdout())).with_filter(for_stdout).boxed(),
        Console::Stderr => {
            let warnings = tracing_subscriber::filter::LevelFilter::WARN;
            let lines = readable().with_ansi(takes_colors(&io::stderr())).with_writer(io::stderr);
            lines.with_filter(warnings.and(for_stdout)).boxed()
        }
    });
    tracing_subscriber::registry().with(layers).init();
    Ok(Telemetry(provider))
}

fn is_own_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && filter::is_own(metadata.target())
}

/// Whether a span, or a line within one, belongs into a trace.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    filter::is_own(metadata.target()) && *metadata.level() <= Level::INFO
}

fn readable<S: Subscriber + for<'a> LookupSpan<'a>>() -> tracing_subscriber::fmt::Layer<S, ReadableFields> {
    tracing_subscriber::fmt::layer().with_target(false).fmt_fields(ReadableFields)
}

/// The fields of readable lines: nothing in them acts on a terminal or begins another line.
struct ReadableFields;

impl<'w> FormatFields<'w> for ReadableFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut collected = Map::new();
        fields.record(&mut Collect(&mut collected));
        let message = collected.remove("message");
        let named = collected.iter().map(|(name, value)| (Some(name.as_str()), value));
        for (number, (name, value)) in message.iter().map(|message| (None, message)).chain(named).enumerate() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writer.write_str(if number > 0 { " " } else { "" })?;
            if let Some(name) = name {
                write!(writer, "{name}=")?;
            }
            writer.write_str(&printable::line(&text))?;
        }
        Ok(())
    }
}

/// Makes a span the child of a W3C trace context that came with a message, and notes the trace's identity in its field
/// `trace_id`, so that lines and traces can be found from each other.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        // Without an exporter there is nothing to attach it to, which is not a fault.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
    let context = span.context();
    let trace_id = context.span().span_context().trace_id();
    if trace_id != TraceId::INVALID {
        span.record("trace_id", tracing::field::display(trace_id));
    }
}

/// The W3C trace context of the current span, if it is exported.
pub fn traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The W3C trace context of a span, if it is exported.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove("traceparent")
}

/// An error with all its sources: `cannot open x: permission denied`.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = told(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = told(cause);
        // Libraries often repeat their source in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if let Some(meaning) = tls::explain(&text) {
        text.push_str(": ");
        text.push_str(meaning);
    }
    printable::without_passwords(&text).into_owned()
}

/// An error's own text. PostgreSQL's detail is left out, since it may hold a row's values.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(refusal) = error.downcast_ref::<tokio_postgres::error::DbError>() {
        return format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code());
    }
    if let Some(plain) = mongo_error::plain(error) {
        return plain;
    }
    match error.downcast_ref::<tokio_postgres::Error>() {
        // Its text ends in that of its source.
        Some(failure) if failure.as_db_error().is_some() => "db error".to_owned(),
        _ => error.to_string(),
    }
}
