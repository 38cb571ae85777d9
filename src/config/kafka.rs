//! `[kafka]`, `[kafka.security]` and `[kafka.properties]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::read::Reader;
use super::{ClientCertificate, Kafka, Protocol, Sasl, Secret, Security};
use crate::wire::toml_reader::{Entry, Origin, Section, Value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

impl<'d> Reader<'d> {
    pub(super) fn kafka(&self, section: Section<'d>) -> Kafka {
        section.require(&["bootstrap_servers", "group_id"]);
        let kafka = Kafka {
            bootstrap_servers: self.bootstrap_servers(&section),
            group_id: self.name(&section, "group_id").unwrap_or_default(),
            instance_id: self.instance_id(&section),
            rack: section.some_text("rack").map(str::to_owned),
            session_timeout: section.duration("session_timeout", SECOND..=HOUR).unwrap_or_default(),
            transaction_timeout: section
                .duration("transaction_timeout", SECOND..=HOUR)
                .unwrap_or_default(),
            patience: section.duration("patience", Duration::ZERO..=24 * HOUR).unwrap_or_default(),
            security: self.security(section.section_or_empty("security")),
            properties: self.properties(section.section_or_empty("properties")),
        };
        self.timeouts(&section, &kafka);
        section.finish();
        kafka
    }

    fn bootstrap_servers(&self, section: &Section<'d>) -> String {
        let key = "bootstrap_servers";
        let Some(node) = section.node(key) else {
            return String::new();
        };
        let servers: Vec<_> = match &node.value {
            Value::List(_) => section.texts(key).unwrap_or_default(),
            _ => {
                let text = section.text(key).unwrap_or_default();
                text.split(',').map(|server| (node, server.trim())).collect()
            }
        };
        if servers.is_empty() {
            section.problem(key, "`kafka.bootstrap_servers` is empty; name at least one broker");
        }
        for (node, server) in &servers {
            if let (Value::Text(_), false) = (&node.value, is_server(server)) {
                self.problems.at(
                    &node.place,
                    format!(
                        "`kafka.bootstrap_servers`: \"{server}\" is no broker; write host:port"
                    ),
                );
            }
        }
        servers.into_iter().map(|(_, server)| server).collect::<Vec<_>>().join(",")
    }

    /// A name that brokers know us by.
    fn name(&self, section: &Section<'d>, key: &'static str) -> Option<String> {
        let text = section.text(key)?;
        let good = (1..=200).contains(&text.chars().count())
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if !good {
            let name = section.name(key);
            section.problem(key, format!("{name} must be 1 to 200 characters without spaces"));
        }
        Some(text.to_owned())
    }

    fn instance_id(&self, section: &Section<'d>) -> String {
        if section.has("instance_id") {
            let name = self.name(section, "instance_id").unwrap_or_default();
            if name.contains('@') {
                section.problem("instance_id", "`kafka.instance_id` must not have an `@`");
            }
            return name;
        }
        if self.environment.is_ignored() {
            return String::new();
        }
        host_name().unwrap_or_else(|| {
            let message = "`kafka.instance_id` is missing and the host name is not known; set it to a name of this instance's own";
            section.problem("instance_id", message);
            String::new()
        })
    }

    /// A transaction that outlived its owner's membership could hide what the next owner commits.
    fn timeouts(&self, section: &Section<'d>, kafka: &Kafka) {
        let set = |key| section.node(key).is_some_and(|node| node.origin != Origin::Default);
        let key =
            if set("transaction_timeout") { "transaction_timeout" } else { "session_timeout" };
        let known = !kafka.session_timeout.is_zero() && !kafka.transaction_timeout.is_zero();
        if known && kafka.transaction_timeout >= kafka.session_timeout {
            section.problem(
                key,
                "`kafka.transaction_timeout` must be shorter than `kafka.session_timeout`",
            );
        }
    }

    fn security(&self, section: Section<'d>) -> Security {
        let protocol = section.choice("protocol", PROTOCOLS);
        let security = Security {
            protocol: protocol.unwrap_or(Protocol::Plaintext),
            sasl: self.sasl(&section, protocol),
            ca_file: self.deployed_file(&section, "ca_file"),
            client: self.client_certificate(&section),
        };
        if protocol.is_some_and(|protocol| !protocol.has_tls()) {
            for key in ["ca_file", "certificate_file", "key_file", "key_password_file"] {
                refuse_without(&section, key, "ssl or sasl_ssl");
            }
        }
        section.finish();
        security
    }

    fn sasl(&self, section: &Section<'d>, protocol: Option<Protocol>) -> Option<Sasl> {
        let mechanism = section.choice("mechanism", MECHANISMS);
        let username = section.text("username");
        let password = self.secret(section, "password", "password_file");
        match protocol {
            Some(protocol) if protocol.has_sasl() => {
                section.require(&["mechanism", "username"]);
                if !section.has("password") && !section.has("password_file") {
                    section.problem(
                        "password_file",
                        "`kafka.security.password_file` is missing; name the file that holds the password",
                    );
                }
                Some(Sasl {
                    mechanism: mechanism.unwrap_or("PLAIN"),
                    username: username.unwrap_or_default().to_owned(),
                    password: password.unwrap_or_else(|| Secret::new("")),
                })
            }
            Some(_) => {
                for key in ["mechanism", "username", "password", "password_file"] {
                    refuse_without(section, key, "sasl_plaintext or sasl_ssl");
                }
                None
            }
            None => None,
        }
    }

    fn client_certificate(&self, section: &Section<'d>) -> Option<ClientCertificate> {
        let certificate_file = self.deployed_file(section, "certificate_file");
        let key_file = self.deployed_file(section, "key_file");
        let key_password = self.secret(section, "key_password", "key_password_file");
        let present = ["certificate_file", "key_file", "key_password", "key_password_file"]
            .map(|key| section.has(key));
        if present.contains(&true) {
            section.require(&["certificate_file", "key_file"]);
        }
        Some(ClientCertificate {
            certificate_file: certificate_file?,
            key_file: key_file?,
            key_password,
        })
    }

    /// A secret from a file, or from the environment; one that stands in the configuration itself
    /// would soon stand in version control.
    pub(super) fn secret(
        &self,
        section: &Section<'d>,
        key: &'static str,
        file_key: &'static str,
    ) -> Option<Secret> {
        let name = section.name(key);
        if section.has(key) && section.has(file_key) {
            section.problem(key, format!("{name} and `{file_key}` are both set; keep one"));
        }
        if let Some(text) = section.text(key) {
            let literal = section.node(key).is_some_and(|node| node.origin == Origin::Written);
            if literal {
                let variable = key.to_ascii_uppercase();
                section.problem(
                    key,
                    format!("{name} must not stand in the file; use `{file_key}`, or a variable: {key} = \"${{KAFKA_{variable}}}\""),
                );
            }
            return Some(Secret::new(text));
        }
        self.secret_file(section, file_key)
    }

    /// A secret from a file.
    pub(super) fn secret_file(
        &self,
        section: &Section<'d>,
        file_key: &'static str,
    ) -> Option<Secret> {
        let path = self.resolve(section.some_text(file_key)?);
        if self.environment.is_ignored() {
            return None;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                let name = section.name(file_key);
                let path = path.display();
                section.problem(file_key, format!("{name}: {path} cannot be read: {error}"));
                None
            }
        }
    }

    fn properties(&self, section: Section<'d>) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        self.flatten("", section.entries(), &mut properties);
        properties
    }

    /// Names with dots may be written with quotes or without; without, TOML reads tables.
    fn flatten(&self, path: &str, entries: &[Entry], into: &mut BTreeMap<String, String>) {
        for entry in entries {
            let name = format!("{path}{}", entry.key);
            let value = match &entry.node.value {
                Value::Table(table) => {
                    self.flatten(&format!("{name}."), table.entries(), into);
                    continue;
                }
                Value::Text(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                Value::Boolean(value) => value.to_string(),
                Value::Float(number) => number.clone(),
                Value::Unknown => continue,
                other => {
                    let kind = other.kind();
                    self.problems.at(
                        &entry.node.place,
                        format!("`kafka.properties.{name}` must be text or a number, not {kind}"),
                    );
                    continue;
                }
            };
            if let Some((_, governed_by)) = OWNED.iter().find(|(owned, _)| *owned == name) {
                self.problems.at(
                    &entry.place,
                    format!(
                        "{name} belongs to the service and cannot be passed through; {governed_by}"
                    ),
                );
            } else if let Err(why) = self.environment.check_property(&name, &value) {
                self.problems.at(&entry.place, format!("`kafka.properties.{name}`: {why}"));
            } else if into.insert(name.clone(), value).is_some() {
                self.problems.at(&entry.place, format!("`kafka.properties.{name}` stands twice"));
            }
        }
    }
}

fn refuse_without(section: &Section<'_>, key: &'static str, protocols: &str) {
    if section.has(key) {
        let name = section.name(key);
        section.problem(key, format!("{name} has no meaning unless protocol is {protocols}"));
    }
}

fn is_server(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn host_name() -> Option<String> {
    let from = |file| std::fs::read_to_string(file).ok();
    let name = from("/proc/sys/kernel/hostname")
        .or_else(|| from("/etc/hostname"))
        .or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("plaintext", Protocol::Plaintext),
    ("ssl", Protocol::Ssl),
    ("sasl_plaintext", Protocol::SaslPlaintext),
    ("sasl_ssl", Protocol::SaslSsl),
];

const MECHANISMS: &[(&str, &str)] =
    &[("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];

const BY_IDS: &str = "kafka.group_id and kafka.instance_id govern it";
const BY_PROTOCOL: &str = "what is published exactly once depends on it";
const BY_TIMEOUT: &str = "kafka.transaction_timeout governs it";
const BY_START: &str = "input.start_from governs it";
const BY_KEY: &str = "kafka.security.key_file governs it";
const BY_MECHANISM: &str = "kafka.security.mechanism governs it";

/// Properties of the client that the service sets itself, and what governs them.
pub const OWNED: &[(&str, &str)] = &[
    ("acks", BY_PROTOCOL),
    ("auto.commit.enable", BY_PROTOCOL),
    ("auto.commit.interval.ms", BY_PROTOCOL),
    ("auto.offset.reset", BY_START),
    ("bootstrap.servers", "kafka.bootstrap_servers governs it"),
    ("client.rack", "kafka.rack governs it"),
    ("consistency", BY_PROTOCOL),
    ("delivery.timeout.ms", BY_TIMEOUT),
    ("enable.auto.commit", BY_PROTOCOL),
    ("enable.auto.offset.store", BY_PROTOCOL),
    ("enable.gapless.guarantee", BY_PROTOCOL),
    ("enable.idempotence", BY_PROTOCOL),
    ("enable.partition.eof", BY_PROTOCOL),
    ("group.id", "kafka.group_id governs it"),
    ("group.instance.id", "kafka.instance_id governs it"),
    ("group.protocol", BY_PROTOCOL),
    ("group.protocol.type", BY_PROTOCOL),
    ("group.remote.assignor", BY_PROTOCOL),
    ("isolation.level", BY_PROTOCOL),
    ("max.in.flight", BY_PROTOCOL),
    ("max.in.flight.requests.per.connection", BY_PROTOCOL),
    ("message.send.max.retries", BY_PROTOCOL),
    ("message.timeout.ms", BY_TIMEOUT),
    ("metadata.broker.list", "kafka.bootstrap_servers governs it"),
    ("offset.store.method", BY_PROTOCOL),
    ("partition.assignment.strategy", BY_PROTOCOL),
    ("partitioner", "subscribers find a package by it"),
    ("request.required.acks", BY_PROTOCOL),
    ("retries", BY_PROTOCOL),
    ("sasl.mechanism", BY_MECHANISM),
    ("sasl.mechanisms", BY_MECHANISM),
    ("sasl.password", "kafka.security.password_file governs it"),
    ("sasl.username", "kafka.security.username governs it"),
    ("security.protocol", "kafka.security.protocol governs it"),
    ("session.timeout.ms", "kafka.session_timeout governs it"),
    ("ssl.ca.location", "kafka.security.ca_file governs it"),
    ("ssl.ca.pem", "kafka.security.ca_file governs it"),
    ("ssl.certificate.location", "kafka.security.certificate_file governs it"),
    ("ssl.certificate.pem", "kafka.security.certificate_file governs it"),
    ("ssl.key.location", BY_KEY),
    ("ssl.key.password", "kafka.security.key_password_file governs it"),
    ("ssl.key.pem", BY_KEY),
    ("transaction.timeout.ms", BY_TIMEOUT),
    ("transactional.id", BY_IDS),
];
