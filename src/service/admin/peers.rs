//! The other instances of the group: found by the addresses that they advertise as a part of their
//! client's name, asked in parallel, each for so long and no longer.

use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::consumer::Consumer;
use tokio::sync::Mutex;

use crate::config::{Admin as Settings, Config, Kafka};
use crate::service::clock::Stopwatch;
use crate::service::{ServiceError, kafka};

/// How long an instance may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// So long a list of instances is good.
const FRESH: Duration = Duration::from_secs(10);
/// Instances that are asked at most.
const MOST: usize = 64;
/// What stands between an instance's name and its address.
const AT: char = '@';

/// A client's name that tells where its instance can be asked.
pub fn client_id(name: &str, settings: &Settings) -> String {
    match &settings.advertised {
        Some(address) => format!("{name}{AT}{address}"),
        None => name.to_owned(),
    }
}

/// The address in a client's name.
fn address(client_id: &str) -> Option<&str> {
    client_id.split_once(AT).map(|(_, address)| address)
}

/// Another instance, and what it answered.
pub struct Asked {
    /// `host:port`.
    pub address: String,
    /// The body, or why there is none.
    pub answer: Result<Vec<u8>, String>,
}

/// See the module's head.
pub struct Peers {
    kafka: Kafka,
    settings: Settings,
    http: reqwest::Client,
    known: Mutex<Option<(Stopwatch, Vec<String>)>>,
}

impl Peers {
    /// With what is needed to ask them.
    pub fn new(config: &Config) -> Result<Self, ServiceError> {
        Ok(Self {
            kafka: config.kafka.clone(),
            settings: config.admin.clone(),
            http: client(&config.admin)?,
            known: Mutex::default(),
        })
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

    async fn ask_one(&self, address: &str, path: &str) -> Result<Vec<u8>, String> {
        let scheme = if self.settings.tls.is_some() { "https" } else { "http" };
        let mut request = self.http.get(format!("{scheme}://{address}{path}"));
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.reveal());
        }
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => {
                response.bytes().await.map(|body| body.to_vec()).map_err(failed)
            }
            status => Err(format!("it answered {status}")),
        }
    }

    async fn addresses(&self) -> Vec<String> {
        let Some(own) = self.settings.advertised.clone() else { return Vec::new() };
        let mut known = self.known.lock().await;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < FRESH
        {
            return addresses.clone();
        }
        let kafka = self.kafka.clone();
        let found = tokio::task::spawn_blocking(move || advertised(&kafka)).await;
        let mut addresses = match found {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                let doing = "asking for the members of the group";
                tracing::warn!("{}", kafka::explain(&error, doing));
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        addresses.retain(|address| *address != own);
        addresses.truncate(MOST);
        *known = Some((Stopwatch::start(), addresses.clone()));
        addresses
    }
}

/// What the members of the group advertise.
fn advertised(kafka: &Kafka) -> rdkafka::error::KafkaResult<Vec<String>> {
    let client = kafka::asker(kafka)?;
    let groups = client.fetch_group_list(Some(&kafka.group_id), DEADLINE)?;
    let members = groups.groups().iter().flat_map(|group| group.members());
    let mut found: Vec<String> =
        members.filter_map(|member| address(member.client_id()).map(str::to_owned)).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Instances have the same authority and, where certificates are asked for, show their own.
fn client(settings: &Settings) -> Result<reqwest::Client, ServiceError> {
    let failed = |error: reqwest::Error| ServiceError::Http(error.to_string());
    let mut builder = reqwest::Client::builder()
        .timeout(DEADLINE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(tls) = &settings.tls {
        let read = |file: &std::path::Path| {
            std::fs::read(file).map_err(|error| {
                ServiceError::Http(format!("{} cannot be read: {error}", file.display()))
            })
        };
        let certificate = read(&tls.certificate_file)?;
        for authority in reqwest::Certificate::from_pem_bundle(&certificate).map_err(failed)? {
            builder = builder.tls_certs_merge([authority]);
        }
        if let Some(file) = &tls.client_ca_file {
            let authority = reqwest::Certificate::from_pem_bundle(&read(file)?).map_err(failed)?;
            builder = builder.tls_certs_merge(authority);
            let identity = reqwest::Identity::from_pkcs8_pem(&certificate, &read(&tls.key_file)?);
            builder = builder.identity(identity.map_err(failed)?);
        }
    }
    builder.build().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_a_part_of_the_clients_name() {
        let mut settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            probe_listen: ([127, 0, 0, 1], 0).into(),
            token: None,
            tls: None,
            advertised: None,
        };
        assert_eq!(address(&client_id("stallwatch-a", &settings)), None);
        settings.advertised = Some("a.parcels:9464".to_owned());
        assert_eq!(address(&client_id("stallwatch-a", &settings)), Some("a.parcels:9464"));
    }
}
