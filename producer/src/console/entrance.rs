//! The way in: who asks, whether they may, and the headers that every answer bears.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    Console, answer,
    people::{Person, Role, is_local},
    problem::Problem,
};

/// The cookie of a session.
pub(crate) const COOKIE: &str = "aura_console";
/// The header by which a reverse proxy proves that it is the one.
const SECRET: &str = "x-aura-proxy-secret";
/// What a page may do in a browser: nothing that does not come from here, and no script within a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// None where nobody has to say who they are.
    pub(crate) person: Option<Person>,
    /// What a form has to bring with it; none if the request cannot have been sent by another page.
    csrf: Option<String>,
}

impl Viewer {
    /// Somebody who has not said who they are.
    pub(crate) fn nobody() -> Self {
        Self { person: None, csrf: None }
    }

    /// Whether a form or button for this may be shown.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.person.as_ref().is_some_and(|person| person.role >= role)
    }

    /// What forms bring with them.
    pub(crate) fn csrf(&self) -> &str {
        self.csrf.as_deref().unwrap_or_default()
    }

    /// The only way to act: whoever may, and whose form comes from here.
    ///
    /// # Errors
    /// If they may not, or the form comes from elsewhere.
    pub(crate) fn act(&self, role: Role, csrf: Option<&str>) -> Result<Person, Problem> {
        let Some(person) = &self.person else {
            let message = "the console reads only: AURA_CONSOLE_USERS_PATH says who may do what";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        };
        if person.role < role {
            let (name, has, needs) = (&person.name, person.role.as_str(), role.as_str());
            let message = format!("{name} is a {has}, and this takes a {needs}");
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        if self.csrf.as_deref().is_some_and(|expected| csrf != Some(expected)) {
            let message = "the form does not come from this session; open the page again";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        Ok(person.clone())
    }
}

/// What a handler knows of a request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) viewer: Viewer,
    pub(crate) wants_json: bool,
    /// Path and query.
    pub(crate) place: String,
    /// The token of forms, where it comes in a header.
    pub(crate) csrf: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let viewer = parts.extensions.get::<Viewer>().cloned();
        Ok(Self {
            viewer: viewer.unwrap_or(Viewer::nobody()),
            wants_json: wants_json(&parts.headers),
            place: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            csrf: text(&parts.headers, "x-csrf-token").map(str::to_owned),
        })
    }
}

/// The value of a cookie of the request.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = all.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    ours.next()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn wants_json(headers: &HeaderMap) -> bool {
    text(headers, "accept").is_some_and(|accept| accept.contains("application/json"))
}

/// Whether a path is open to people who have not signed in.
fn is_public(path: &str) -> bool {
    path == "/sign-in" || path == "/healthz" || path.starts_with("/assets/")
}

/// Lets a request in, or not, and dresses the answer.
pub(crate) async fn enter(State(console): State<Arc<Console>>, mut request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let viewer = check(&console, &parts);
    request = Request::from_parts(parts, body);
    let headers = request.headers().clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let json = wants_json(&headers);
    let response = match viewer {
        Ok(Some(viewer)) => {
            request.extensions_mut().insert(viewer.clone());
            let response = next.run(request).await;
            rendered(response, json, &viewer)
        }
        Ok(None) => to_sign_in(&headers, &method, &path, json),
        Err(problem) => answer::problem(&problem, json, &Viewer::nobody()),
    };
    dressed(response, &path)
}

/// Who asks; none if they have to sign in first.
fn check(console: &Console, parts: &Parts) -> Result<Option<Viewer>, Problem> {
    let headers = &parts.headers;
    // A form, or a script, of another page. Browsers tell where a request comes from; others need a token anyway.
    let unsafe_method = !matches!(parts.method, Method::GET | Method::HEAD);
    if unsafe_method && text(headers, "sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the request comes from another page"));
    }
    let unavailable = |fault: String| {
        tracing::error!(error = fault.as_str(), "the file of users cannot be used");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the file of users cannot be used; the log says why")
    };
    if is_public(parts.uri.path()) {
        return Ok(Some(Viewer::nobody()));
    }
    if console.people.is_open() {
        // Another site's name that points here would let its pages read.
        let host = text(headers, "host").unwrap_or_default();
        if !is_own_name(host) {
            let message = "without a file of users the console is called localhost or by its address of this machine";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        return Ok(Some(Viewer::nobody()));
    }
    if let Some(name) = console.people.header() {
        // Whoever reaches the console by another way, a page of another site in somebody's browser too, could name
        // anybody.
        if !text(headers, SECRET).is_some_and(|given| console.people.is_of_proxy(given)) {
            let message = format!("the request does not come from the reverse proxy: {SECRET} is missing or wrong");
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        let mut names = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let (Some(user), None) = (names.next(), names.next()) else {
            let message = format!("the reverse proxy does not say who asks: {name} is missing, or there twice");
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        };
        let Some(person) = console.people.named(user).map_err(unavailable)? else {
            return Err(Problem::new(StatusCode::FORBIDDEN, format!("the file of users does not have {user}")));
        };
        let seen = console.sessions.of_proxy(&person.name);
        return Ok(Some(Viewer { person: Some(person), csrf: Some(seen.csrf) }));
    }
    if let Some(token) = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        let person = console.people.with_token(token.trim()).map_err(unavailable)?;
        let person = person.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "the token is none that is known"))?;
        // No browser sends it by itself.
        return Ok(Some(Viewer { person: Some(person), csrf: None }));
    }
    // What a page asks by itself, since something has changed, is nothing that its reader does.
    let by_itself = parts.uri.path() == "/events" || text(headers, "x-aura-live").is_some();
    let seen = cookie(headers).and_then(|secret| console.sessions.of_cookie(secret, !by_itself));
    let Some(seen) = seen else { return Ok(None) };
    let person = console.people.with_hash(&seen.name, seen.token.as_deref()).map_err(unavailable)?;
    Ok(person.map(|person| Viewer { person: Some(person), csrf: Some(seen.csrf) }))
}

/// Whether a `Host` is a name that only this machine has for itself.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn to_sign_in(headers: &HeaderMap, method: &Method, path: &str, json: bool) -> Response {
    if json || path == "/events" {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "sign in first, or send a token: Authorization: Bearer …");
        return answer::problem(&problem, true, &Viewer::nobody());
    }
    let back = if *method == Method::GET { path } else { "/" };
    let target = format!("/sign-in?next={}", answer::encoded(back));
    if headers.contains_key("hx-request") {
        // The whole page goes there, not the part that was asked for.
        let target = HeaderValue::from_str(&target).unwrap_or(HeaderValue::from_static("/sign-in"));
        return (StatusCode::UNAUTHORIZED, [(HeaderName::from_static("hx-redirect"), target)]).into_response();
    }
    Redirect::to(&target).into_response()
}

/// A problem as it was asked for: a page or JSON.
fn rendered(response: Response, json: bool, viewer: &Viewer) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) => answer::problem(&problem.clone(), json, viewer),
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            answer::problem(&Problem::new(response.status(), "that is not how this is asked for"), json, viewer)
        }
        None if response.status() == StatusCode::REQUEST_TIMEOUT => {
            answer::problem(&Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it took too long"), json, viewer)
        }
        None => response,
    }
}

fn dressed(mut response: Response<Body>, path: &str) -> Response<Body> {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if !path.starts_with("/assets/") {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// The cookie of a session, or one that ends it.
pub(crate) fn set_cookie(console: &Console, headers: &HeaderMap, secret: &str) -> HeaderValue {
    // A browser sends a Secure cookie over HTTPS alone, which a reverse proxy on another machine must speak.
    let is_secure = !is_local(console.settings.console.addr)
        || text(headers, "x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_secure { "; Secure" } else { "" };
    let age = if secret.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_site_is_not_this_machine() {
        for own in ["localhost", "localhost:9465", "127.0.0.1:80", "[::1]:9465", "LOCALHOST"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in
            ["", "evil.example", "evil.example:9465", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
        {
            assert!(!is_own_name(other), "{other}");
        }
    }

    #[test]
    fn only_whoever_may_acts_and_only_with_the_token_of_their_forms() {
        let viewer = |role, csrf: Option<&str>| Viewer {
            person: Some(Person { name: "anna".to_owned(), role }),
            csrf: csrf.map(str::to_owned),
        };
        assert!(viewer(Role::Operator, Some("x")).act(Role::Operator, Some("x")).is_ok());
        assert!(viewer(Role::Controller, None).act(Role::Operator, None).is_ok());
        for (viewer, csrf) in [
            (viewer(Role::Viewer, Some("x")), Some("x")),
            (viewer(Role::Operator, Some("x")), Some("y")),
            (viewer(Role::Operator, Some("x")), None),
            (Viewer::nobody(), None),
        ] {
            assert_eq!(viewer.act(Role::Operator, csrf).unwrap_err().status, StatusCode::FORBIDDEN, "{viewer:?}");
        }
    }
}
