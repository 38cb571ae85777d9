//! Who may ask, and how much at once.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::answer::Refused;
use crate::config::{Admin as Settings, Secret};

/// Everything comes from here; nothing is loaded from, sent to or framed by anybody else.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// See the module's head.
pub struct Guard {
    token: Option<Secret>,
    /// Names under which a browser may ask, beside addresses: a page of another origin that has its
    /// own name lead here is told from an operator's by it.
    hosts: Vec<String>,
    requests: Arc<Semaphore>,
}

impl Guard {
    /// As the settings say; so many requests at once.
    pub fn new(settings: &Settings, requests: usize) -> Self {
        let mut hosts = vec!["localhost".to_owned()];
        if let Some(advertised) = &settings.advertised {
            hosts.push(advertised.host.to_ascii_lowercase());
        }
        let token = settings.token.clone();
        Self { token, hosts, requests: Arc::new(Semaphore::new(requests)) }
    }

    fn knows(&self, host: &str) -> bool {
        let host = host_of(host).to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        shown.is_some_and(|shown| bool::from(shown.ct_eq(token.reveal().as_bytes())))
    }
}

/// A host without its port.
fn host_of(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    }
}

/// Refuses names that this listener does not have.
pub async fn known_host(
    State(admin): State<Arc<super::Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) if admin.guard.knows(host) => Ok(next.run(request).await),
        _ => Err(Refused::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not one of the admin listener's; ask by its address, as localhost, or set admin.advertised",
        )),
    }
}

/// Lets a request pass that shows the token, as long as there are not too many.
pub async fn admit(
    State(admin): State<Arc<super::Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    if !admin.guard.admits(request.headers()) {
        return Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "show the token of admin.token_file: Authorization: Bearer TOKEN",
        ));
    }
    let Ok(_place) = admin.guard.requests.clone().try_acquire_owned() else {
        return Err(Refused::busy("too many requests are under way; ask again in a second"));
    };
    Ok(next.run(request).await)
}

/// Headers of every answer; those that the bounds gave themselves become answers of our form.
pub async fn headers(response: Response) -> Response {
    let mut response = match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refused::new(response.status(), "the body is too long").into_response()
        }
        StatusCode::GATEWAY_TIMEOUT => {
            let why = "there was no answer in time; ask again";
            Refused::new(response.status(), why).into_response()
        }
        _ => response,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// There is nothing at this path.
pub async fn not_found(uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(80).collect();
    Refused::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {path}; /openapi.json lists what there is"),
    )
}

/// There is something at this path, but not for this method.
pub async fn wrong_method() -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know that method; /openapi.json lists what there is",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn guard(token: Option<&str>, advertised: Option<&str>) -> Guard {
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            probe_listen: ([127, 0, 0, 1], 0).into(),
            token: token.map(Secret::new),
            tls: None,
            advertised: advertised.and_then(Address::parse),
        };
        Guard::new(&settings, 1)
    }

    fn shows(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn only_the_very_token_is_let_in() {
        let guard = guard(Some("0123456789abcdef"), None);
        assert!(guard.admits(&shows(b"Bearer 0123456789abcdef")));
        assert!(guard.admits(&shows(b"bearer 0123456789abcdef")));
        for wrong in [
            &b"Bearer 0123456789abcdeF"[..],
            b"Bearer 0123456789abcde",
            b"Bearer 0123456789abcdef0",
            b"Bearer ",
            b"Basic 0123456789abcdef",
            b"0123456789abcdef",
            b"Bearer\xff0123456789abcdef",
            b"",
        ] {
            assert!(!guard.admits(&shows(wrong)), "{wrong:?}");
        }
        assert!(!guard.admits(&HeaderMap::new()));
    }

    #[test]
    fn names_that_lead_here_by_somebody_elses_will_are_not_known() {
        let guard = guard(None, Some("Stallwatch-0.parcels:9464"));
        for known in
            ["localhost:9464", "127.0.0.1", "[::1]:9464", "10.1.2.3:9464", "stallwatch-0.parcels"]
        {
            assert!(guard.knows(known), "{known}");
        }
        for unknown in
            ["evil.example", "localhost.evil.example:9464", "127.0.0.1.evil.example", "", ":9464"]
        {
            assert!(!guard.knows(unknown), "{unknown}");
        }
    }
}
