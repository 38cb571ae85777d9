//! Brokers that ask who is there, and what becomes of those who must not.

mod doctor;
mod login;
mod revoked;
mod rights;
mod secrets;
mod topics;

use serde_json::Value;

use crate::broker::{Broker, PASSWORD, USER};
use crate::client::create_topic;
use crate::evidence::SHORT_POLICIES;
use crate::service::{SCANS_SETTINGS, Setup};

/// A service with topics of its own that logs in as a user on the listener without TLS.
fn logged_in(broker: &Broker, name: &str) -> Setup {
    let setup = Setup::on(broker.sasl_bootstrap(), name, 1, "json").policies(SHORT_POLICIES);
    let plain = broker.bootstrap();
    create_topic(&plain, &setup.scans(), 1, SCANS_SETTINGS);
    create_topic(&plain, &setup.open(), 1, &[("cleanup.policy", "compact")]);
    create_topic(&plain, &setup.exceptions(), 1, &[]);
    create_topic(&plain, &setup.dead_letters(), 1, &[]);
    let setup = with_login(setup, "sasl_plaintext").with("kafka", "patience = \"5s\"");
    setup.with("kafka", "session_timeout = \"6s\"").with("kafka", "transaction_timeout = \"4s\"")
}

fn with_login(setup: Setup, protocol: &str) -> Setup {
    std::fs::write(setup.file("password"), PASSWORD).expect("written");
    setup
        .with("kafka.security", format!("protocol = \"{protocol}\""))
        .with("kafka.security", "mechanism = \"SCRAM-SHA-512\"")
        .with("kafka.security", format!("username = \"{USER}\""))
        .with("kafka.security", "password_file = \"password\"")
}

/// The same service on the listener with TLS and SCRAM.
fn over_tls(broker: &Broker, name: &str) -> Setup {
    let mut setup = with_login(logged_in(broker, name), "sasl_ssl");
    setup.bootstrap = broker.tls_bootstrap();
    let trusted = format!("ca_file = \"{}\"", broker.certificate("ca.pem").display());
    setup.with("kafka.security", trusted)
}

/// The same service with a certificate instead of a password.
fn with_certificate(broker: &Broker, name: &str, certificate: &str) -> Setup {
    let mut setup = logged_in(broker, name);
    setup.lines.retain(|(section, _)| *section != "kafka.security");
    setup.bootstrap = broker.mtls_bootstrap();
    let file =
        |key: &str, name: String| format!("{key} = \"{}\"", broker.certificate(&name).display());
    setup
        .with("kafka.security", "protocol = \"ssl\"")
        .with("kafka.security", file("ca_file", "ca.pem".to_owned()))
        .with("kafka.security", file("certificate_file", format!("{certificate}.pem")))
        .with("kafka.security", file("key_file", format!("{certificate}.key")))
}

/// A right that `acls print` lists.
#[derive(Clone, Debug)]
struct Listed {
    principal: String,
    operation: String,
    resource: String,
    pattern: String,
    name: String,
}

impl Listed {
    /// As `acls.py` takes it.
    fn to_grant(&self) -> String {
        let Self { operation, resource, pattern, name, .. } = self;
        format!("{operation}:{resource}:{pattern}:{name}")
    }
}

/// What `acls print` lists.
fn listed(setup: &Setup) -> Vec<Listed> {
    let said = setup.run_verb(&["acls", "print", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let list: Vec<Value> = serde_json::from_str(&said.out).expect("a list");
    let text = |entry: &Value, name: &str| entry[name].as_str().expect("a text").to_owned();
    let listed = list.iter().map(|entry| Listed {
        principal: text(entry, "principal"),
        operation: text(entry, "operation"),
        resource: text(entry, "resource"),
        pattern: text(entry, "pattern"),
        name: text(entry, "name"),
    });
    listed.collect()
}

/// Grants rights to whom they are listed for.
fn grant(broker: &Broker, rights: &[Listed]) {
    let principal = &rights.first().expect("some rights").principal;
    let rights: Vec<_> = rights.iter().map(Listed::to_grant).collect();
    crate::python::grant(&broker.bootstrap(), principal, &rights);
}

/// How many records the topic of exceptions has, control records among them.
fn exceptions_end(broker: &Broker, setup: &Setup) -> i64 {
    crate::client::end_offsets(&broker.bootstrap(), &setup.exceptions()).values().sum()
}
