//! The service's configuration: what a file, the environment and the defaults say, as it is meant.
//!
//! Three layers lie on each other, the later ones win: the embedded `default.toml`, the file, and
//! overrides such as `STALLWATCH__KAFKA__GROUP_ID`. Texts may name variables: `${VAR}`,
//! `${VAR:-default}`. What is not built yet is an error that says so, never ignored.

mod address;
mod admin;
mod environment;
mod kafka;
mod read;
mod registry;
mod schemas;
mod secret;
pub mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::detector::key::PackageKey;
use crate::detector::policy::PolicySet;
use crate::detector::time::LogTime;
use crate::wire::policy_file;
use crate::wire::scan::NoTime;
use crate::wire::toml_reader::Problem;

pub use address::Address;
pub use environment::Environment;
pub use registry::{SchemaRegistry, Trust};
pub use schemas::{SchemaFiles, SchemaText, Schemas};
pub use secret::Secret;

/// Everything that can be set, checked and with defaults filled in. File names are resolved.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Config {
    /// The whole path of its file, for commands that are printed.
    pub file: String,
    pub kafka: Kafka,
    pub input: Input,
    pub schema_registry: Option<SchemaRegistry>,
    pub output: Output,
    pub engine: Engine,
    pub state: State,
    pub policies: Policies,
    pub admin: Admin,
    pub log: Log,
    pub shutdown: Shutdown,
}

/// `[kafka]`: how to reach the brokers and who we are to them.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The consumer group: the unit of scale and of durable state.
    pub group_id: String,
    /// Unique in the group: `group.instance.id`, and the last part of the transactional id.
    /// The host name where the file gives none.
    pub instance_id: String,
    /// `client.rack`, to fetch from the nearest replica.
    pub rack: Option<String>,
    /// How long a silent member keeps its partitions.
    pub session_timeout: Duration,
    /// After this the broker aborts a transaction; below `session_timeout`.
    pub transaction_timeout: Duration,
    /// How long an unreachable broker is tried before the service gives up.
    pub patience: Duration,
    /// `[kafka.security]`.
    pub security: Security,
    /// `[kafka.properties]`: passed to the client as they are; none that the service owns.
    pub properties: BTreeMap<String, String>,
}

/// `[kafka.security]`.
#[derive(Clone, Debug)]
pub struct Security {
    /// Encryption and authentication of the connection.
    pub protocol: Protocol,
    /// Set if and only if the protocol has SASL.
    pub sasl: Option<Sasl>,
    /// Certificates that are trusted, PEM; the system's where there is none. Only with TLS.
    pub ca_file: Option<PathBuf>,
    /// The certificate shown to the broker, PEM, and its key. Only with TLS.
    pub client: Option<ClientCertificate>,
}

/// How the connection is secured; [`Protocol::as_str`] is librdkafka's `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    /// The name as in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether the connection is encrypted.
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether the client logs in with SASL.
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How to log in.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, as librdkafka's `sasl.mechanism`.
    pub mechanism: &'static str,
    /// The user.
    pub username: String,
    /// From a file or the environment, never from the configuration itself.
    pub password: Secret,
}

/// The certificate of mutual TLS.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// PEM.
    pub certificate_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// Where the key is encrypted.
    pub key_password: Option<Secret>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Avro,
    Json,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the group's committed offsets; without any, at the log's start.
    Committed,
    /// At the log's start.
    Earliest,
    /// At the log's end.
    Latest,
    /// At the first record of this log time.
    At(LogTime),
}

/// What a first start does with what is already open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// What is open then is published once.
    Silent,
    /// The whole history is published.
    Publish,
}

/// What becomes of a record that is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// It goes to the dead letter topic.
    DeadLetter,
    /// It is counted and left out.
    Skip,
    /// Its partition stops.
    Halt,
}

/// What becomes of a record whose writer's schema neither a file nor the registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknownSchema {
    /// Its partition waits; where the registry says that there is none, for `kafka.patience`.
    Wait,
    /// It is rejected, and that is durable.
    Reject,
}

/// `[input]`: the scans.
#[derive(Clone, Debug)]
pub struct Input {
    /// Exactly one for the time being: the `open` table belongs to one topic.
    pub topics: Vec<String>,
    /// How scans are written.
    pub format: Format,
    /// The Avro schemas that scans may have been written with.
    pub schemas: Schemas,
    /// Where to begin.
    pub start_from: StartFrom,
    /// What a first start publishes.
    pub backfill: Backfill,
    /// What becomes of rejected records.
    pub on_reject: OnReject,
    /// What becomes of records whose schema nobody has.
    pub on_unknown_schema: OnUnknownSchema,
    /// A record further ahead of the wall clock is refused.
    pub max_future_skew: Duration,
    /// Event times that stand for none.
    pub no_time: NoTime,
    /// How long a record may still arrive with an earlier log time. `None`: by the topic's kind of
    /// timestamp, see [`CLOCK_MARGIN_LOG_APPEND_TIME`] and [`CLOCK_MARGIN_CREATE_TIME`].
    pub clock_margin: Option<Duration>,
}

/// `clock_margin` of topics whose timestamps the broker sets.
pub const CLOCK_MARGIN_LOG_APPEND_TIME: Duration = Duration::from_secs(2);
/// `clock_margin` of topics whose timestamps producers set.
pub const CLOCK_MARGIN_CREATE_TIME: Duration = Duration::from_secs(180);

/// `[output]`: what is published, and how often.
#[derive(Clone, Debug)]
pub struct Output {
    /// The topic of every event.
    pub exceptions: String,
    /// The compacted topic of what is open.
    pub open: String,
    /// The topic of rejected records.
    pub dead_letter: String,
    /// How exceptions are written.
    pub format: Format,
    /// Pause between commits while there is something to say.
    pub commit_interval: Duration,
}

/// `[engine]`.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Threads that work on partitions; at least 1.
    pub workers: usize,
    /// Most packages known at once by this process, all its partitions together; `None`: as many as
    /// there is memory for.
    pub max_packages: Option<usize>,
}

/// `[state]`: snapshots of package state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where they are kept; `None`: nowhere, and a restart reads the log from its start.
    pub url: Option<SnapshotUrl>,
    /// Pause between two snapshots of a partition.
    pub snapshot_interval: Duration,
    /// How many of a partition are kept; at least 1.
    pub keep: usize,
    /// Where an open exception contradicts the log the log is right, and it is closed; else its
    /// partition halts.
    pub trust_log: bool,
}

/// Where snapshots are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotUrl {
    /// `file:///path`: a folder.
    Folder(PathBuf),
    /// `s3://bucket/prefix`: how to reach it and as whom say the environment and the machine, as for
    /// every client of S3 (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` …).
    Bucket {
        /// Its name.
        bucket: String,
        /// Names of objects begin with it; may be empty.
        prefix: String,
    },
}

impl SnapshotUrl {
    /// From its text.
    ///
    /// # Errors
    /// What is wrong with it, to stand behind the name of its key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!(
                "is \"{text}\", which is no URL; write file:///folder or s3://bucket/prefix"
            ));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Folder(PathBuf::from(rest))),
            "file" => Err(format!(
                "is \"{text}\": the folder must be given whole, as in file:///var/lib/stallwatch"
            )),
            "s3" => Self::bucket(rest).ok_or_else(|| {
                format!("is \"{text}\": the bucket must be of 3 to 63 of a-z, 0-9, '.' and '-'")
            }),
            _ => Err(format!(
                "has the scheme \"{scheme}\", which is not known; known are file and s3"
            )),
        }
    }

    fn bucket(rest: &str) -> Option<Self> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let legal =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        let good = (3..=63).contains(&bucket.len()) && bucket.bytes().all(legal);
        let prefix = prefix.trim_matches('/').to_owned();
        good.then(|| Self::Bucket { bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for SnapshotUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// `[policies]`.
#[derive(Clone, Debug)]
pub struct Policies {
    /// The policies file.
    pub file: PathBuf,
    /// Whether a changed file is read anew by itself.
    pub watch: bool,
}

/// `[admin]`: the two listeners.
#[derive(Clone, Debug)]
pub struct Admin {
    /// For operators; beyond the loopback only with a token or certificates of clients.
    pub listen: SocketAddr,
    /// For probes and metrics.
    pub probe_listen: SocketAddr,
    /// What a client must show: `Authorization: Bearer TOKEN`.
    pub token: Option<Secret>,
    /// TLS of the admin listener.
    pub tls: Option<AdminTls>,
    /// Where other instances reach the admin listener.
    pub advertised: Option<Address>,
}

/// TLS of the admin listener. Files as PEM.
#[derive(Clone, Debug)]
pub struct AdminTls {
    /// Its certificate, and those in between.
    pub certificate_file: PathBuf,
    /// The key of that certificate.
    pub key_file: PathBuf,
    /// Clients must show a certificate of this authority.
    pub client_ca_file: Option<PathBuf>,
    /// Authorities of other instances' certificates; those in `certificate_file` without it.
    pub ca_file: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// How tracking numbers appear in log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackingNumbers {
    /// The last four characters.
    Last4,
    /// Whole.
    Plain,
    /// As a hash.
    Hash,
}

impl TrackingNumbers {
    /// A package as it may stand in a log line.
    pub fn show(self, key: &PackageKey) -> String {
        let number = key.number();
        match self {
            Self::Plain => key.to_string(),
            Self::Last4 => {
                let shown = &number[number.len() - number.len().min(4)..];
                format!("{}:…{shown}", key.carrier())
            }
            Self::Hash => {
                let digest = Sha256::digest(number.as_bytes());
                let short: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{}:#{short}", key.carrier())
            }
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// A level, or directives such as `info,stallwatch::service=debug`.
    pub level: String,
    /// How tracking numbers appear.
    pub tracking_numbers: TrackingNumbers,
}

/// `[shutdown]`.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long a stop may take before the process ends as it is.
    pub deadline: Duration,
}

impl Config {
    /// Reads a configuration file and everything it draws in: the environment, secrets in files.
    ///
    /// # Errors
    /// Every problem at once, in the order of their places.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|problem| vec![problem])?;
        let config = Self::parse(&name, &text, folder_of(path), environment)?;
        let whole = std::path::absolute(path).map(|path| path.display().to_string());
        Ok(Self { file: whole.unwrap_or(name), ..config })
    }

    /// Reads a configuration from its text. Relative file names are taken from `folder`.
    ///
    /// # Errors
    /// Every problem at once, in the order of their places.
    pub fn parse(
        file_name: &str,
        text: &str,
        folder: &Path,
        environment: &Environment,
    ) -> Result<Self, Vec<Problem>> {
        let (config, problems) = read::read(file_name, text, folder, environment);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    /// Reads the policies file that the configuration names.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn load_policies(&self) -> Result<PolicySet, Vec<Problem>> {
        load_policies(&self.policies.file)
    }
}

/// Checks a level of the log: one word, or directives such as `info,stallwatch::service=debug`.
///
/// # Errors
/// What is wrong with it.
pub fn check_log_level(text: &str) -> Result<(), String> {
    read::check_directives(text)
}

/// Reads a policies file.
///
/// # Errors
/// Every problem of the file at once, in the order of their places.
pub fn load_policies(path: &Path) -> Result<PolicySet, Vec<Problem>> {
    let text = read_text(path).map_err(|problem| vec![problem])?;
    policy_file::parse(&path.display().to_string(), &text)
}

/// Reads a configuration and the policies file it names.
///
/// # Errors
/// Every problem of both, in the order of their places.
pub fn check(path: &Path, environment: &Environment) -> Result<Config, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|problem| vec![problem])?;
    let (config, mut problems) = read::read(&name, &text, folder_of(path), environment);
    let policies = config.as_ref().map(|config| &config.policies.file);
    if let Some(file) = policies.filter(|file| !file.as_os_str().is_empty()) {
        problems.extend(load_policies(file).err().into_iter().flatten());
    }
    problems.sort();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Problem::of_file(&name, format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::of_file(&name, format!("is not UTF-8 text (byte {at})"))
    })
}

#[cfg(test)]
mod tests;
