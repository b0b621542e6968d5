//! Traces and metrics over OTLP, where OpenTelemetry's own variables name a collector.

use std::{
    io::{self, Write},
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    metrics::{SdkMeterProvider, reader::MetricReader},
    trace::SdkTracerProvider,
};

use super::{Identity, TelemetryError};

/// How long the last figures may take on their way to a collector.
const LAST_CALL: Duration = Duration::from_secs(5);

/// What keeps spans and sends them, if a collector is named.
///
/// # Errors
/// If the exporter cannot be set up.
pub(super) fn tracer_provider(identity: &Identity) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    if !is_named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build().map_err(TelemetryError::Otlp)?;
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(identity)).build()))
}

/// What keeps metrics, for this reader and, if a collector is named, for that.
///
/// It must not be called within a runtime: what sends has one of its own.
///
/// # Errors
/// If the exporter cannot be set up.
pub fn meter_provider(identity: &Identity, reader: impl MetricReader) -> Result<SdkMeterProvider, TelemetryError> {
    crate::tls::use_ring();
    let provider = SdkMeterProvider::builder().with_resource(resource(identity)).with_reader(reader);
    if !is_named("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") {
        return Ok(provider.build());
    }
    let exporter = MetricExporter::builder().with_http().build().map_err(TelemetryError::Otlp)?;
    Ok(provider.with_periodic_exporter(exporter).build())
}

/// Sends what a collector does not have yet, and ends. It must not be called within a runtime.
pub fn end_metrics(provider: &SdkMeterProvider) {
    if let Err(error) = provider.shutdown_with_timeout(LAST_CALL) {
        let _ = writeln!(io::stderr(), "the last metrics were not sent: {error}");
    }
}

/// Whether a collector is named: for all, or by the variable for this kind.
fn is_named(own: &str) -> bool {
    let has_value = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    has_value("OTEL_EXPORTER_OTLP_ENDPOINT") || has_value(own)
}

/// Who sends: the program and its version, and the instance where it has a name of its own.
fn resource(identity: &Identity) -> Resource {
    let mut attributes = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    attributes.extend(identity.worker.clone().map(|name| KeyValue::new("service.instance.id", name)));
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the builder.
    let builder = Resource::builder().with_attributes(attributes);
    match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => builder.build(),
        None => builder.with_service_name(identity.service).build(),
    }
}
