//! The log: JSON lines in a file and on stdout, readable lines on a terminal, and traces over OTLP.

mod filter;
mod log_file;

use std::{
    collections::HashMap,
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::Mutex,
};

use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde_json::{Map, Value};
use tracing::{
    Event, Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer,
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
    layer::Context,
    prelude::*,
    registry::LookupSpan,
};

use crate::{printable, terminal::takes_colors};

use self::log_file::LogFile;

/// Where log lines go beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Stdout: JSON, or readable lines where it is a terminal. For a program that runs by itself.
    Stdout,
    /// Readable warnings on stderr, since stdout holds the answer. For a command.
    Stderr,
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
    #[error("cannot export traces as the OTEL_EXPORTER_OTLP_* variables say")]
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
    service: &'static str,
    folder: Option<&Path>,
    filter: &str,
    console: Console,
) -> Result<Telemetry, TelemetryError> {
    start_with(service, folder, filter, console)
}

/// The same without a file, for a command that has nothing to answer for.
///
/// # Errors
/// If the filter cannot be read, or the exporter not be set up.
pub fn start_without_file(service: &'static str, filter: &str, console: Console) -> Result<Telemetry, TelemetryError> {
    start_with(service, None, filter, console)
}

fn start_with(
    service: &'static str,
    folder: Option<&Path>,
    filter: &str,
    console: Console,
) -> Result<Telemetry, TelemetryError> {
    crate::tls::use_ring();
    filter::check(filter).map_err(TelemetryError::UnknownName)?;
    // The broker's library tells of every lost connection itself; the supervisor tells it once. The
    // object stores' library tells addresses.
    let quiet = format!(
        "{filter},lapin=off,object_store=off,opentelemetry_sdk=error,opentelemetry-otlp=error,refinery_core=warn"
    );
    let filter = EnvFilter::try_new(quiet).map_err(TelemetryError::Filter)?;
    let open = |folder: &Path| {
        LogFile::open(folder).map_err(|source| TelemetryError::Folder { path: folder.display().to_string(), source })
    };
    let file = folder.map(open).transpose()?;
    let (on_console, on_terminal) = match console {
        Console::Stdout if io::stdout().is_terminal() => {
            (None, Some(readable().with_ansi(takes_colors(&io::stdout())).boxed()))
        }
        Console::Stdout => (Some(JsonLines::to(io::stdout())), None),
        Console::Stderr => {
            let warnings = tracing_subscriber::filter::LevelFilter::WARN;
            let lines = readable().with_ansi(takes_colors(&io::stderr())).with_writer(io::stderr);
            (None, Some(lines.with_filter(warnings).boxed()))
        }
    };
    let provider = exporter(service)?;
    let traces = provider.as_ref().map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    tracing_subscriber::registry()
        .with(filter)
        .with(traces)
        .with(SpanFields)
        .with(file.map(JsonLines::to))
        .with(on_console)
        .with(on_terminal)
        .init();
    Ok(Telemetry(provider))
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

/// The OTLP exporter, where OpenTelemetry's own variables name a collector.
fn exporter(service: &'static str) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    if named.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build().map_err(TelemetryError::Otlp)?;
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder().build(),
        None => Resource::builder().with_service_name(service).build(),
    };
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}

/// Makes a span the child of a W3C trace context that came with a message.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        // Without an exporter there is nothing to attach it to, which is not a fault.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}

/// The W3C trace context of the current span, if it is exported.
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove("traceparent")
}

/// Keeps the fields of each span, so that every line within it can carry them.
struct SpanFields;

struct Kept(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Kept(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(kept) = span.extensions_mut().get_mut::<Kept>()
        {
            values.record(&mut Collect(&mut kept.0));
        }
    }
}

/// Writes one JSON object a line, flat: the fields of the event over those of its spans.
struct JsonLines<W>(Mutex<W>);

impl<W: Write + 'static> JsonLines<W> {
    fn to(writer: W) -> Self {
        Self(Mutex::new(writer))
    }
}

impl<W: Write + 'static, S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines<W> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("message".to_owned(), "".into());
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(kept) = span.extensions().get::<Kept>() {
                line.extend(kept.0.clone());
            }
        }
        event.record(&mut Collect(&mut line));
        let mut text = printable::line(&Value::Object(line).to_string()).into_owned();
        text.push('\n');
        if let Ok(mut writer) = self.0.lock() {
            // A log that cannot be written must not stop the work that it tells of.
            let _ = writer.write_all(text.as_bytes());
        }
    }
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl Visit for Collect<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.insert(field.name().to_owned(), chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "metadata"
            && let Ok(object) = serde_json::from_str::<Value>(&format!("{value:?}"))
        {
            // What an event tells stays an object, as it is in the audit trail.
            self.0.insert(field.name().to_owned(), object);
            return;
        }
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
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
    printable::without_passwords(&text).into_owned()
}

/// An error's own text. PostgreSQL's detail is left out, since it may hold a row's values.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(refusal) = error.downcast_ref::<tokio_postgres::error::DbError>() {
        return format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code());
    }
    match error.downcast_ref::<tokio_postgres::Error>() {
        // Its text ends in that of its source.
        Some(failure) if failure.as_db_error().is_some() => "db error".to_owned(),
        _ => error.to_string(),
    }
}
