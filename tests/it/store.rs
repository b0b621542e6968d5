//! The management of the broker that the tests use.

use reqwest::Method;
use serde_json::Value;
use tests::stack::{answered, stack};

/// Asks the broker's management API; without a body if that is null.
pub(crate) async fn management(method: Method, path: &str, body: Value) -> Value {
    answered(stack().manage(method, path, &body).await)
}
