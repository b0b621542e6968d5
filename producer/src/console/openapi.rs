//! The console as programs use it, as an OpenAPI document. What answers look like is made from their types.

mod endpoints;

use std::collections::BTreeSet;

use axum::response::Response;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use self::endpoints::{ENDPOINTS, Endpoint, Form, Method, Shape};
use super::{answer, entrance::COOKIE, people::Role};
use crate::errors::ErrorAnswer;

/// The document.
pub(crate) async fn document() -> Response {
    answer::document(axum::http::StatusCode::OK, &whole())
}

fn whole() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorAnswer>();
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        let place = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        place[endpoint.method.as_str()] = operation(endpoint, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The console of Aura",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every page is also its JSON form: send Accept: application/json. Without a file of users \
                            (AURA_CONSOLE_USERS_PATH) the console reads only, and nobody has to sign in."
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "It could not be done. 400: what was sent cannot be used; 401: sign in first; 403: \
                                    it may not be done; 404: there is no such thing; 409: it is not in that state; \
                                    413: it is too large; 503: a service does not answer, or the console is busy.",
                    "content": {"application/json": {"schema": error}, "text/html": {"schema": {"type": "string"}}}
                }
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the file of users."},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "As POST /sign-in sets it."}
            }
        }
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": identity(endpoint),
        "summary": endpoint.summary,
        "responses": responses(endpoint, generator),
        "security": security(endpoint),
    });
    let in_path = names(endpoint.path).into_iter().map(|name| {
        let is_uuid = matches!(name, "job" | "operation" | "id");
        let schema = if is_uuid { json!({"type": "string", "format": "uuid"}) } else { json!({"type": "string"}) };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let in_query = endpoint.query.iter().map(|field| {
        json!({"name": field.name, "in": "query", "required": field.required, "description": field.what, "schema": {"type": "string"}})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).chain(csrf_header(endpoint)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some((kind, fields)) = match endpoint.form {
        Form::None => None,
        Form::Fields(fields) => Some(("application/x-www-form-urlencoded", fields)),
        Form::File(fields) => Some(("multipart/form-data", fields)),
    } {
        let field = |field: &endpoints::Field| {
            let kind = if field.name == "file" && kind.starts_with("multipart") {
                json!({"type": "string", "contentMediaType": "application/octet-stream", "description": field.what})
            } else {
                json!({"type": "string", "description": field.what})
            };
            (field.name.to_owned(), kind)
        };
        let properties: Map<String, Value> = fields.iter().map(field).collect();
        let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required});
        operation["requestBody"] = json!({"required": true, "content": {kind: {"schema": schema}}});
    }
    operation
}

/// The token of forms, where a program has it in a header.
fn csrf_header(endpoint: &Endpoint) -> Option<Value> {
    let acts = endpoint.method == Method::Post && endpoint.role.is_some();
    acts.then(|| {
        json!({
            "name": "X-CSRF-Token", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "With a cookie, instead of the field csrf; with a bearer token neither is needed."
        })
    })
}

/// Whatever security is needed: one of the ways, or none.
fn security(endpoint: &Endpoint) -> Value {
    match (endpoint.role, endpoint.method) {
        (None, Method::Get | Method::Post) => json!([]),
        // Without a file of users everybody on this machine reads.
        (Some(_), Method::Get) => json!([{"bearer": []}, {"session": []}, {}]),
        (Some(_), Method::Post) => json!([{"bearer": []}, {"session": []}]),
    }
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let text = json!({"schema": {"type": "string"}});
    let page = |schema: Value| json!({"application/json": {"schema": schema}, "text/html": text.clone()});
    let (status, description, content) = match endpoint.shape {
        Shape::Page(schema) => ("200", "The page, or the same as JSON.", page(json!(schema(generator)))),
        Shape::Done(schema) => ("200", "Done.", json!({"application/json": {"schema": json!(schema(generator))}})),
        Shape::Begun(schema) => (
            "202",
            "It has begun; Location says where it is seen.",
            json!({"application/json": {"schema": json!(schema(generator))}}),
        ),
        Shape::Bytes(kind) => {
            ("200", "The file.", json!({kind: {"schema": {"type": "string", "contentMediaType": kind}}}))
        }
        Shape::Text(kind) => ("200", "A text.", json!({kind: text})),
        Shape::Sent => ("303", "The browser is sent on.", json!({})),
    };
    let mut responses = json!({"default": {"$ref": "#/components/responses/Problem"}});
    responses[status] = json!({"description": description});
    if content.as_object().is_some_and(|content| !content.is_empty()) {
        responses[status]["content"] = content;
    }
    if matches!(endpoint.shape, Shape::Done(_) | Shape::Begun(_)) {
        responses["303"] = json!({"description": "A browser is sent to where it is seen."});
    }
    if let Some(role) = endpoint.role.filter(|role| *role > Role::Viewer) {
        responses["403"] = json!({"$ref": "#/components/responses/Problem"});
        responses[status]["description"] = json!(format!("{description} It takes a {}.", role.as_str()));
    }
    responses
}

/// The names between braces.
fn names(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// A name for the operation, unique since it holds method and path.
fn identity(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once(endpoint.method.as_str()).chain(words).collect();
    if words.len() == 1 { format!("{}_now", words[0]) } else { words.join("_") }
}

/// Every method and path of the document.
#[cfg_attr(not(test), expect(dead_code, reason = "tests compare it with the router"))]
fn documented() -> BTreeSet<(&'static str, &'static str)> {
    ENDPOINTS.iter().map(|endpoint| (endpoint.method.as_str(), endpoint.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = include_str!("router.rs");

    /// What the router says: each `.route("PATH", get(…).post(…))`.
    fn routed() -> BTreeSet<(&'static str, &'static str)> {
        let mut routed = BTreeSet::new();
        let code = ROUTER.split("#[cfg(test)]").next().unwrap_or_default();
        let chain = code.split(".with_state(").next().unwrap_or_default();
        for route in chain.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            let handlers = route.split_once(',').unwrap().1;
            let handlers = handlers.split(".fallback(").next().unwrap();
            let before = routed.len();
            for method in ["get", "post"] {
                if handlers.contains(&format!("{method}(")) {
                    routed.insert((method, path));
                }
            }
            assert!(routed.len() > before, "no method of {path} is known");
        }
        routed
    }

    #[test]
    fn the_document_has_what_the_router_has_and_nothing_else() {
        let (routed, documented) = (routed(), documented());
        assert!(routed.len() > 20, "{routed:?}");
        let undocumented: Vec<_> = routed.difference(&documented).collect();
        assert!(undocumented.is_empty(), "not in openapi/endpoints.rs: {undocumented:?}");
        let gone: Vec<_> = documented.difference(&routed).collect();
        assert!(gone.is_empty(), "not in the router: {gone:?}");
        assert_eq!(documented.len(), ENDPOINTS.len(), "an endpoint stands twice");
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere_and_every_operation_has_its_own_name() {
        let document = whole();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let place = reference.split('"').next().unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
        }
        let names: BTreeSet<String> = ENDPOINTS.iter().map(identity).collect();
        assert_eq!(names.len(), ENDPOINTS.len());
    }
}
