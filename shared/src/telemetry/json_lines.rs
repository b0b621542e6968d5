//! Lines of the log as JSON, each with the fields of the spans that it is in.

use std::{fmt, io::Write, sync::Mutex};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::chain;
use crate::printable;

/// Keeps the fields of each span, so that every line within it can carry them.
pub(super) struct SpanFields;

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
pub(super) struct JsonLines {
    pub(super) writer: Mutex<Box<dyn Write + Send>>,
    /// The worker that each line names.
    pub(super) worker: Option<String>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("message".to_owned(), "".into());
        line.extend(self.worker.clone().map(|worker| ("worker".to_owned(), worker.into())));
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(kept) = span.extensions().get::<Kept>() {
                line.extend(kept.0.clone());
            }
        }
        event.record(&mut Collect(&mut line));
        let mut text = printable::line(&Value::Object(line).to_string()).into_owned();
        text.push('\n');
        if let Ok(mut writer) = self.writer.lock() {
            // A log that cannot be written must not stop the work that it tells of.
            let _ = writer.write_all(text.as_bytes());
        }
    }
}

/// Takes fields down as JSON.
pub(super) struct Collect<'a>(pub(super) &'a mut Map<String, Value>);

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
