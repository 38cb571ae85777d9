//! Who may ask, and how much at once.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
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

/// Content types that any page may send anywhere without having to ask first.
const OF_ANY_PAGE: [&str; 3] =
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];

/// Why a request may be the doing of a page of somebody else, opened in the browser of one who may
/// ask here: browsers say where a page is from, and send some bodies without asking us first.
fn foreign(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let refused = |why: &str| Err(Refused::new(StatusCode::FORBIDDEN, why));
    let is_elsewhere = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
    if method.is_safe() {
        // A link may lead here from anywhere.
        return match is_elsewhere && text("sec-fetch-mode") != Some("navigate") {
            true => {
                refused("a page of another origin may not ask here; open the page of this service")
            }
            false => Ok(()),
        };
    }
    let own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| text("host") == Some(authority))
    };
    if is_elsewhere || text("origin").is_some_and(|origin| !own(origin)) {
        return refused(
            "a page of another origin may change nothing here; use the command line, a script or SIGHUP",
        );
    }
    let kind = text("content-type").map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match kind.filter(|kind| OF_ANY_PAGE.iter().any(|simple| kind.eq_ignore_ascii_case(simple))) {
        Some(kind) => Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "{kind} is not taken, as any page may send it; send no body, or Content-Type: application/json"
            ),
        )),
        None => Ok(()),
    }
}

/// Lets a request pass that is no other page's and shows the token, as long as there are not too
/// many.
pub async fn admit(
    State(admin): State<Arc<super::Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    foreign(request.method(), request.headers())?;
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
    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn status(method: &Method, pairs: &[(&'static str, &'static str)]) -> u16 {
        match foreign(method, &headers(pairs)) {
            Ok(()) => 200,
            Err(refused) => refused.into_response().status().as_u16(),
        }
    }

    #[test]
    fn what_a_page_of_another_origin_sends_changes_nothing() {
        let host = ("host", "127.0.0.1:9464");
        for method in [&Method::POST, &Method::PUT, &Method::DELETE] {
            for own in [
                &[host][..],
                &[host, ("content-type", "application/json")],
                &[host, ("origin", "http://127.0.0.1:9464"), ("sec-fetch-site", "same-origin")],
            ] {
                assert_eq!(status(method, own), 200, "{own:?}");
            }
            for elsewhere in [
                ("origin", "http://evil.example"),
                ("origin", "http://127.0.0.1:8080"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                assert_eq!(status(method, &[host, elsewhere]), 403, "{elsewhere:?}");
                let with_body = [host, elsewhere, ("content-type", "text/plain")];
                assert_eq!(status(method, &with_body), 403, "{elsewhere:?}");
            }
            for kind in OF_ANY_PAGE {
                assert_eq!(status(method, &[host, ("content-type", kind)]), 415, "{kind}");
            }
            let kind = ("content-type", "Text/Plain;charset=UTF-8");
            assert_eq!(status(method, &[host, kind]), 415);
        }
    }

    #[test]
    fn a_link_may_lead_here_and_a_page_of_another_origin_may_not_take_places() {
        let asks = |mode| [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
        assert_eq!(status(&Method::GET, &asks("navigate")), 200);
        assert_eq!(status(&Method::GET, &asks("no-cors")), 403);
        assert_eq!(status(&Method::GET, &asks("cors")), 403);
        let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")];
        assert_eq!(status(&Method::GET, &own), 200);
        assert_eq!(status(&Method::GET, &[("sec-fetch-site", "none")]), 200);
    }
}
