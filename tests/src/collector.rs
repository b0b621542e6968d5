//! A receiver of OTLP over HTTP, as a collector is one: it reads what programs send, and keeps it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message;
use tokio::net::TcpListener;

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    /// The trace, in hex.
    pub trace_id: String,
    /// The span, in hex.
    pub span_id: String,
    /// The span that it belongs to, in hex; empty for a first one.
    pub parent_id: String,
    /// What it is.
    pub name: String,
    /// The program that sent it.
    pub service: String,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A collector on a port of its own; it ends with its value.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub url: String,
    kept: Arc<Kept>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Mutex<Vec<ReceivedSpan>>,
    /// The newest value of each series of whole numbers, by name and attributes.
    series: Mutex<BTreeMap<String, i64>>,
    /// The names of all that is measured.
    names: Mutex<Vec<String>>,
}

impl Collector {
    /// Starts it.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let kept = Arc::<Kept>::default();
        let keeping = Arc::clone(&kept);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&keeping);
                let service = service_fn(move |request| answer(Arc::clone(&kept), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, kept, accepting }
    }

    /// The variables that have a program send everything here, soon.
    pub fn settings(&self) -> [(&str, &str); 3] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ]
    }

    /// The spans that have come so far.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest value of a series of whole numbers, such as `aura.jobs{status=success}`.
    pub fn value(&self, series: &str) -> Option<i64> {
        self.kept.series.lock().unwrap_or_else(PoisonError::into_inner).get(series).copied()
    }

    /// Whether anything of this name has been measured.
    pub fn has_metric(&self, name: &str) -> bool {
        self.kept.names.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == name)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(kept: Arc<Kept>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let read = match request.into_body().collect().await {
        Ok(body) => match path.as_str() {
            "/v1/traces" => kept.take_spans(body.to_bytes()),
            "/v1/metrics" => kept.take_metrics(body.to_bytes()),
            _ => false,
        },
        Err(_) => false,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = if read { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(response)
}

impl Kept {
    fn take_spans(&self, body: Bytes) -> bool {
        let Ok(request) = ExportTraceServiceRequest::decode(body) else { return false };
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for of_resource in request.resource_spans {
            let service = of_resource.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
            let service = service.get("service.name").cloned().unwrap_or_default();
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(ReceivedSpan {
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent_id: hex(&span.parent_span_id),
                    name: span.name,
                    service: service.clone(),
                    attributes: attributes(span.attributes),
                });
            }
        }
        true
    }

    fn take_metrics(&self, body: Bytes) -> bool {
        let Ok(request) = ExportMetricsServiceRequest::decode(body) else { return false };
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).push(metric.name.clone());
            let points = match metric.data {
                Some(Data::Sum(sum)) => sum.data_points,
                Some(Data::Gauge(gauge)) => gauge.data_points,
                Some(Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_)) | None => Vec::new(),
            };
            for point in points {
                if let Some(number_data_point::Value::AsInt(value)) = point.value {
                    let labels = attributes(point.attributes);
                    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let series = format!("{}{{{}}}", metric.name, labels.join(","));
                    self.series.lock().unwrap_or_else(PoisonError::into_inner).insert(series, value);
                }
            }
        }
        true
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is_so)) => is_so.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
