//! A schema registry as Confluent's and others speak it: `GET /schemas/ids/ID`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{SchemaRegistry, Trust};
use crate::service::clock::Stopwatch;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes that an answer may have.
const LARGEST: usize = 4 << 20;
/// How soon an id is asked for again that the registry did not tell, and how soon once that has
/// lasted for a minute.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_LATER: Duration = Duration::from_secs(10);
/// An id that nobody has wanted for so long is not asked for; an answer as old is none.
const WANTED: Duration = Duration::from_secs(60);
/// The codes with which a registry says that it has no such schema, beside the status 404. Another
/// server than a registry answers 404 as well.
const NO_SUCH: std::ops::Range<i64> = 40_400..40_500;

/// What is known of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    None,
    /// The schema, which is known now.
    Schema,
    /// The registry has no such schema, and has said so for so long.
    Missing(Duration),
    /// It has one that is of no use here.
    Useless(String),
    /// It does not answer, or not what it should.
    Silent(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("is being asked"),
            Self::Schema => f.write_str("has told it"),
            Self::Missing(lasted) => {
                write!(f, "has none of this id (404), for {} s", lasted.as_secs())
            }
            Self::Useless(why) => write!(f, "has one that is of no use: {why}"),
            Self::Silent(why) => write!(f, "does not answer that: {why}"),
        }
    }
}

/// What the registry said this time.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Schema(String),
    Missing,
    Useless(String),
    Silent(String),
}

/// See the module's head: what is wanted of it.
pub struct Registry {
    settings: SchemaRegistry,
    ids: Mutex<BTreeMap<u32, Id>>,
}

struct Id {
    wanted: Stopwatch,
    /// Since it was asked for first.
    since: Stopwatch,
    /// Since the registry first said that it has none.
    missing: Option<Stopwatch>,
    asked: Option<Stopwatch>,
    answer: Answer,
}

impl Registry {
    pub fn new(settings: SchemaRegistry) -> Self {
        Self { settings, ids: Mutex::default() }
    }

    pub fn url(&self) -> &str {
        &self.settings.url
    }

    pub fn client(&self) -> Result<Client, NoClient> {
        Client::new(&self.settings)
    }

    /// Somebody wants the schema of this id.
    pub fn want(&self, id: u32) -> Answer {
        let mut ids = self.ids();
        let now = Stopwatch::start();
        let new = Id { wanted: now, since: now, missing: None, asked: None, answer: Answer::None };
        let id = ids.entry(id).or_insert(new);
        id.wanted = now;
        match id.asked.is_some_and(|asked| asked.elapsed() < WANTED) {
            true => id.answer.clone(),
            false => Answer::None,
        }
    }

    /// The ids to ask for now.
    pub fn due(&self) -> Vec<u32> {
        let is_due = |id: &Id| {
            let again = if id.since.elapsed() < WANTED { AGAIN } else { AGAIN_LATER };
            id.answer != Answer::Schema
                && id.wanted.elapsed() < WANTED
                && id.asked.is_none_or(|asked| asked.elapsed() >= again)
        };
        self.ids().iter().filter(|(_, id)| is_due(id)).map(|(&id, _)| id).collect()
    }

    /// The registry has answered.
    pub fn answered(&self, id: u32, answer: Answer) {
        let mut ids = self.ids();
        let Some(id) = ids.get_mut(&id) else { return };
        let now = Stopwatch::start();
        id.asked = Some(now);
        id.answer = match answer {
            Answer::Missing(_) => Answer::Missing(id.missing.get_or_insert(now).elapsed()),
            answer => answer,
        };
    }

    /// What was wanted is due again, however soon.
    #[cfg(test)]
    pub fn forget_pauses(&self) {
        self.ids().values_mut().for_each(|id| id.asked = None);
    }

    fn ids(&self) -> MutexGuard<'_, BTreeMap<u32, Id>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoClient(String);

/// Asks, one question at a time.
pub struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    settings: SchemaRegistry,
}

#[derive(Deserialize)]
struct Schema {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

impl Client {
    /// Connects to nobody yet.
    pub fn new(settings: &SchemaRegistry) -> Result<Self, NoClient> {
        let no = |why: &dyn fmt::Display| NoClient(why.to_string());
        let mut builder = reqwest::Client::builder().timeout(DEADLINE).no_proxy();
        if let Some(file) = &settings.ca_file {
            let of_file = |why: &dyn fmt::Display| no(&format!("{}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| of_file(&error))?;
            let authorities =
                Certificate::from_pem_bundle(&pem).map_err(|error| of_file(&error))?;
            builder = builder.tls_certs_only(authorities);
        }
        let http = builder.build().map_err(|error| no(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| no(&error))?;
        Ok(Self { http, runtime, settings: settings.clone() })
    }

    /// Asks for the schema of an id.
    pub fn ask(&self, id: u32) -> Told {
        let asked = self.runtime.block_on(self.get(id));
        let (status, body) = match asked {
            Ok(answered) => answered,
            Err(error) => return Told::Silent(innermost(&error, DEADLINE)),
        };
        read(status, &body)
    }

    async fn get(&self, id: u32) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
        let SchemaRegistry { url, trust, .. } = &self.settings;
        let request = self.http.get(format!("{url}/schemas/ids/{id}"));
        let request = match trust {
            None => request,
            Some(Trust::Basic { username, password }) => {
                request.basic_auth(username, Some(password.reveal()))
            }
            Some(Trust::Bearer(token)) => request.bearer_auth(token.reveal()),
        };
        let mut response = request.send().await?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                break;
            }
        }
        Ok((status, body))
    }
}

/// What an answer says.
fn read(status: StatusCode, body: &[u8]) -> Told {
    let code = |body: &Value| body.get("error_code").and_then(Value::as_i64);
    if status == StatusCode::NOT_FOUND {
        let said = serde_json::from_slice(body).ok().as_ref().and_then(code);
        return match said.is_some_and(|code| NO_SUCH.contains(&code)) {
            true => Told::Missing,
            false => {
                Told::Silent("404, as no registry says it; look at schema_registry.url".to_owned())
            }
        };
    }
    if !status.is_success() {
        return Told::Silent(status.to_string());
    }
    let Ok(Schema { schema, kind, references }) = serde_json::from_slice(body) else {
        return Told::Silent("what it sends is no schema".to_owned());
    };
    match kind.as_deref() {
        None | Some("AVRO") => {}
        Some(kind) => return Told::Useless(format!("it is of the type {kind}")),
    }
    match references.is_none_or(|references| references.is_empty()) {
        true => Told::Schema(schema),
        false => Told::Useless(
            "it refers to other schemas; give it in one piece in input.schemas".to_owned(),
        ),
    }
}

/// The innermost cause says most: that a connection was refused, that a certificate is unknown.
pub fn innermost(error: &reqwest::Error, deadline: Duration) -> String {
    if error.is_timeout() {
        return format!("not within {} s", deadline.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Told {
        read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn only_a_registry_s_own_word_counts_as_no_such_schema() {
        let no_such = r#"{"error_code":40403,"message":"Schema 9 not found"}"#;
        assert_eq!(told(404, no_such), Told::Missing);
        for body in ["", "<html>", r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#] {
            assert!(matches!(told(404, body), Told::Silent(_)), "{body}");
        }
        for status in [401, 403, 429, 500, 503] {
            assert!(matches!(told(status, no_such), Told::Silent(_)), "{status}");
        }
    }

    #[test]
    fn a_schema_is_told_and_what_is_none_of_avro_s_or_in_pieces_is_of_no_use() {
        assert_eq!(told(200, r#"{"schema":"\"int\""}"#), Told::Schema("\"int\"".to_owned()));
        let avro = r#"{"schema":"\"int\"","schemaType":"AVRO","references":[]}"#;
        assert_eq!(told(200, avro), Told::Schema("\"int\"".to_owned()));
        let json = r#"{"schema":"{}","schemaType":"JSON"}"#;
        assert_eq!(told(200, json), Told::Useless("it is of the type JSON".to_owned()));
        let pieces = r#"{"schema":"{}","references":[{"name":"a","subject":"b","version":1}]}"#;
        assert!(matches!(told(200, pieces), Told::Useless(_)));
        assert!(matches!(told(200, "{}"), Told::Silent(_)));
    }

    #[test]
    fn an_id_is_missing_from_the_first_word_of_it_to_the_last_and_asked_for_while_wanted() {
        let url = "http://registry".to_owned();
        let registry = Registry::new(SchemaRegistry { url, trust: None, ca_file: None });
        assert_eq!(registry.due(), Vec::<u32>::new());
        assert_eq!(registry.want(9), Answer::None);
        assert_eq!(registry.due(), [9]);
        registry.answered(9, Answer::Silent("refused".to_owned()));
        assert_eq!(registry.want(9), Answer::Silent("refused".to_owned()));
        assert_eq!(registry.due(), Vec::<u32>::new(), "not at once");
        registry.answered(9, Answer::Missing(Duration::ZERO));
        let Answer::Missing(first) = registry.want(9) else { panic!("it is missing") };
        assert!(first < Duration::from_millis(100), "{first:?}");
        registry.answered(9, Answer::Silent("refused".to_owned()));
        registry.answered(9, Answer::Missing(Duration::ZERO));
        let Answer::Missing(lasted) = registry.want(9) else { panic!("it is missing") };
        assert!(lasted > first, "what was said in between takes nothing back");
        registry.answered(9, Answer::Schema);
        assert_eq!(registry.want(9), Answer::Schema);
        assert_eq!(registry.due(), Vec::<u32>::new());
    }
}
