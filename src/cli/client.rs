//! Asks running instances over their admin listeners, all in parallel, none for longer than a
//! deadline.

mod events;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use stallwatch::service::schemas::innermost;

use super::Failure;

pub use events::{Event, Events};

/// An instance asks the others for up to two seconds itself.
const DEADLINE: Duration = Duration::from_secs(5);
/// A stream says that it lives every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Whom to ask, and as whom.
#[derive(Args, Clone)]
pub struct Connection {
    /// Admin listener of an instance; more of them separated by commas, or given again
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9464", value_delimiter = ',')]
    pub address: Vec<String>,
    /// File with the token of admin.token_file
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Ask over TLS and trust the authorities in this file, PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, PEM; with --key-file
    #[arg(long, value_name = "FILE", requires_all = ["key_file", "ca_file"])]
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM (PKCS #8)
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
}

/// One instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// As it was given.
    pub address: String,
    base: Url,
}

/// Why an instance gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nothing came back, or not what should.
    #[error("{address} did not answer: {why}")]
    #[allow(missing_docs)]
    Silent { address: String, why: String },
    /// It answered that it does not answer that.
    #[error("{address} refused: {why}")]
    #[allow(missing_docs)]
    Refused { address: String, status: StatusCode, why: String },
}

impl Unanswered {
    /// Whether it makes sense to ask the very same again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// Which partitions answers are about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Coverage {
    /// Those that were asked.
    pub partitions: BTreeSet<i32>,
    /// How many there are; 0 as long as nobody knows.
    pub input_partitions: i32,
    /// Whether these are all.
    pub complete: bool,
}

impl Coverage {
    /// Adds what another answer is about.
    pub fn add(&mut self, other: &Self) {
        self.partitions.extend(&other.partitions);
        self.input_partitions = self.input_partitions.max(other.input_partitions);
        self.complete =
            self.input_partitions > 0 && self.partitions.len() == self.input_partitions as usize;
    }

    /// `8 of 8 partitions`.
    pub fn text(&self) -> String {
        format!("{} of {} partitions", self.partitions.len(), self.input_partitions)
    }
}

/// Speaks with instances.
pub struct Client {
    http: reqwest::Client,
    instances: Vec<Instance>,
    token: Option<String>,
}

impl Client {
    /// Reads the files that are named; connects to nobody yet.
    pub fn new(connection: &Connection) -> Result<Self, Failure> {
        let scheme = if connection.ca_file.is_some() { "https" } else { "http" };
        let instances = connection.address.iter().map(|address| instance(scheme, address));
        let token = connection.token_file.as_deref().map(read_token).transpose()?;
        let instances = instances.collect::<Result<_, _>>()?;
        Ok(Self { http: http(connection)?, instances, token })
    }

    /// Whom it speaks with.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Asks all instances at once.
    pub async fn ask_all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Vec<Result<T, Unanswered>> {
        self.each(|instance| self.ask(instance, path, query)).await
    }

    /// Does the same with all instances at once.
    pub async fn each<'a, T, F: Future<Output = T>>(
        &'a self,
        what: impl Fn(&'a Instance) -> F,
    ) -> Vec<T> {
        join_all(self.instances.iter().map(what)).await
    }

    /// Asks one.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        instance: &Instance,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Unanswered> {
        let silent = |error: &reqwest::Error| instance.silent(reason(error));
        let asked = self.request(instance, path, query).timeout(DEADLINE).send().await;
        let response = checked(instance, asked.map_err(|error| silent(&error))?).await?;
        let body = response.bytes().await.map_err(|error| silent(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| instance.silent(format!("what it sent cannot be read: {error}")))
    }

    /// Follows a stream of events.
    pub async fn follow(
        &self,
        instance: &Instance,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Events, Unanswered> {
        let asked = tokio::time::timeout(DEADLINE, self.request(instance, path, query).send());
        let too_late = |_| instance.silent(format!("not within {} s", DEADLINE.as_secs()));
        let response = asked.await.map_err(too_late)?;
        let response = response.map_err(|error| instance.silent(reason(&error)))?;
        Ok(Events::of(checked(instance, response).await?))
    }

    fn request(
        &self,
        instance: &Instance,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut url = instance.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.get(url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Instance {
    fn silent(&self, why: String) -> Unanswered {
        Unanswered::Silent { address: self.address.clone(), why }
    }
}

/// A refusal says why in its body.
async fn checked(instance: &Instance, response: Response) -> Result<Response, Unanswered> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let said = serde_json::from_slice::<Value>(&body).ok();
    let said = said.and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    let mut why = said.unwrap_or_else(|| status.to_string());
    if status == StatusCode::UNAUTHORIZED {
        why.push_str(" (here: --token-file)");
    }
    Err(Unanswered::Refused { address: instance.address.clone(), status, why })
}

/// Why an instance has not answered.
pub fn reason(error: &reqwest::Error) -> String {
    innermost(error, DEADLINE)
}

fn instance(scheme: &str, address: &str) -> Result<Instance, Failure> {
    let base = Url::parse(&format!("{scheme}://{address}/")).ok();
    let base = base.filter(|url| {
        // A host and a port; whatever else a URL may have is none of an address.
        let known = url.port_or_known_default();
        let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        port.is_some() && port == known && url.path() == "/" && url.username().is_empty()
    });
    let base = base.ok_or_else(|| {
        Failure::Usage(format!("--address {address}: write HOST:PORT, such as 127.0.0.1:9464"))
    })?;
    Ok(Instance { address: address.to_owned(), base })
}

fn http(connection: &Connection) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(DEADLINE)
        .read_timeout(SILENCE)
        .no_proxy()
        .redirect(Policy::none());
    let useless = |file: &Path| {
        let file = file.display().to_string();
        move |error: reqwest::Error| {
            Failure::Failed(format!("{file} is of no use: {}", reason(&error)))
        }
    };
    if let Some(file) = &connection.ca_file {
        let authorities = Certificate::from_pem_bundle(&read(file)?).map_err(useless(file))?;
        if authorities.is_empty() {
            return Err(Failure::Failed(format!("{} holds no certificate", file.display())));
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let (Some(certificate), Some(key)) = (&connection.cert_file, &connection.key_file) {
        let identity = Identity::from_pkcs8_pem(&read(certificate)?, &read(key)?);
        builder = builder.identity(identity.map_err(useless(certificate))?);
    }
    builder.build().map_err(|error| Failure::Failed(format!("no client: {}", reason(&error))))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", file.display())))
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let bytes = read(file)?;
    let token = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let file = file.display();
        return Err(Failure::Failed(format!("{file} must hold one line, the token")));
    }
    Ok(token.to_owned())
}

/// Runs what asks instances; one thread is enough for it.
pub fn block_on<T>(what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("asking cannot begin: {error}")))?
        .block_on(what)
}

/// Resolves at SIGINT or SIGTERM.
pub async fn interrupted() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Failure::Failed(format!("signals cannot be handled: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// What stands in the way if nobody answered.
pub fn nobody(unanswered: &[Unanswered]) -> Failure {
    let reasons: Vec<_> = unanswered.iter().map(ToString::to_string).collect();
    Failure::Failed(format!(
        "no instance answered; is one running, and is --address its admin.listen?\n  {}",
        reasons.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_nothing_else() {
        for good in ["127.0.0.1:9464", "localhost:80", "[::1]:9464", "stallwatch-0.parcels:443"] {
            assert!(instance("http", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "http://localhost:9464",
            "a:b@c:1",
            "localhost:9464/v1",
            ":1",
            "a:99999",
        ] {
            assert!(instance("http", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_of_several_instances_are_complete_once_they_cover_every_partition() {
        let part = |partitions: &[i32]| Coverage {
            partitions: partitions.iter().copied().collect(),
            input_partitions: 4,
            complete: false,
        };
        let mut all = Coverage::default();
        assert!(!all.complete);
        all.add(&part(&[0, 1]));
        assert!(!all.complete);
        all.add(&part(&[1, 2]));
        assert!(!all.complete);
        all.add(&part(&[3]));
        assert!(all.complete);
        assert_eq!(all.text(), "4 of 4 partitions");
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let refused =
            |status| Unanswered::Refused { address: String::new(), status, why: String::new() };
        assert!(refused(StatusCode::TOO_MANY_REQUESTS).may_pass());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).may_pass());
        assert!(!refused(StatusCode::UNAUTHORIZED).may_pass());
        assert!(!refused(StatusCode::BAD_REQUEST).may_pass());
    }
}
