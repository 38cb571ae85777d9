//! The other instances of the group: found by the addresses that they leave with the group's offsets,
//! asked in parallel, each for so long and no longer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openssl::pkey::PKey;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Mutex;

use crate::config::{Address, Admin as Settings, AdminTls};
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Client};
use crate::service::{ServiceError, Shared, peer_name};

/// How long an instance may take to answer.
pub(in crate::service) const DEADLINE: Duration = Duration::from_secs(2);
/// So long a list of instances is good.
const FRESH: Duration = Duration::from_secs(2);
/// Instances that are asked at most.
pub(in crate::service) const MOST: usize = 64;
/// Bytes of an answer that are read.
const LONGEST: usize = 1 << 20;

/// Another instance, and what it answered.
pub struct Asked {
    /// Where it is.
    pub address: Address,
    /// The body, or why there is none.
    pub answer: Result<Vec<u8>, String>,
}

/// See the module's head.
pub struct Peers {
    shared: Arc<Shared>,
    http: reqwest::Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    client: Option<Arc<Client>>,
    found: Option<(Stopwatch, Vec<Address>)>,
}

impl Peers {
    /// With what is needed to ask them.
    pub fn new(shared: Arc<Shared>) -> Result<Self, ServiceError> {
        let http = client(&shared.config.admin)?;
        Ok(Self { shared, http, known: Mutex::default() })
    }

    fn settings(&self) -> &Settings {
        &self.shared.config.admin
    }

    /// Asks every other instance; none where no address is advertised.
    pub async fn ask(&self, path: &str) -> Vec<Asked> {
        let addresses = self.addresses().await;
        join_all(addresses.into_iter().map(|address| async {
            let answer = self.ask_one(&address, path).await;
            Asked { address, answer }
        }))
        .await
    }

    async fn ask_one(&self, address: &Address, path: &str) -> Result<Vec<u8>, String> {
        let scheme = if self.settings().tls.is_some() { "https" } else { "http" };
        // An address is a host and a port and has nothing else in it.
        let mut request = self.http.get(format!("{scheme}://{address}{path}"));
        if let Some(token) = &self.settings().token {
            request = request.bearer_auth(token.reveal());
        }
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(format!("its answer is longer than {LONGEST} bytes"));
            }
        }
        Ok(body)
    }

    async fn addresses(&self) -> Vec<Address> {
        let Some(own) = self.settings().advertised.clone() else { return Vec::new() };
        let mut known = self.known.lock().await;
        if let Some((since, addresses)) = &known.found
            && since.elapsed() < FRESH
        {
            return addresses.clone();
        }
        let (shared, client) = (self.shared.clone(), known.client.clone());
        let found = tokio::task::spawn_blocking(move || advertised(&shared, client)).await;
        let mut addresses = match found {
            Ok(Ok((client, addresses))) => {
                known.client = Some(client);
                addresses
            }
            Ok(Err(error)) => {
                let doing = "asking for the other instances";
                tracing::warn!("{}", kafka::explain(&error, doing));
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        addresses.retain(|address| *address != own);
        addresses.truncate(MOST);
        known.found = Some((Stopwatch::start(), addresses.clone()));
        addresses
    }
}

/// What the owners of all partitions advertise, and the client that was asked.
fn advertised(
    shared: &Shared,
    client: Option<Arc<Client>>,
) -> KafkaResult<(Arc<Client>, Vec<Address>)> {
    let client = client.map_or_else(|| kafka::asker(&shared.config.kafka).map(Arc::new), Ok)?;
    let mut all = TopicPartitionList::new();
    for partition in 0..shared.input_partitions() {
        all.add_partition(&shared.input, partition);
    }
    let offsets = client.committed_offsets(all, DEADLINE)?;
    let elements = offsets.elements();
    let told = elements.iter().filter_map(|element| peer_name::address(element.metadata()));
    let found: BTreeSet<Address> = told.collect();
    Ok((client, found.into_iter().collect()))
}

/// Instances trust the authorities of `admin.ca_file`, else the certificates in `admin.tls_cert_file`
/// alone, and show their own certificate where one is asked for.
fn client(settings: &Settings) -> Result<reqwest::Client, ServiceError> {
    let mut builder = reqwest::Client::builder()
        .timeout(DEADLINE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(tls) = &settings.tls {
        let trusted = tls.ca_file.as_ref().unwrap_or(&tls.certificate_file);
        let authorities = reqwest::Certificate::from_pem_bundle(&read(trusted)?);
        builder = builder.tls_certs_only(authorities.map_err(|error| useless(trusted, &error))?);
        if tls.client_ca_file.is_some() {
            builder = builder.identity(identity(tls)?);
        }
    }
    builder.build().map_err(|error| ServiceError::Http(error.to_string()))
}

/// The instance's own certificate; its key in whatever form OpenSSL reads.
fn identity(tls: &AdminTls) -> Result<reqwest::Identity, ServiceError> {
    let key = PKey::private_key_from_pem(&read(&tls.key_file)?)
        .and_then(|key| key.private_key_to_pem_pkcs8())
        .map_err(|error| useless(&tls.key_file, &error))?;
    reqwest::Identity::from_pkcs8_pem(&read(&tls.certificate_file)?, &key)
        .map_err(|error| useless(&tls.certificate_file, &error))
}

fn read(file: &Path) -> Result<Vec<u8>, ServiceError> {
    std::fs::read(file).map_err(|error| useless(file, &error))
}

fn useless(file: &Path, error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Http(format!("{} is of no use: {error}", file.display()))
}
