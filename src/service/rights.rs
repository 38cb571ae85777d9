//! The rights that the service's user needs at the broker: one list, which `acls print` prints,
//! `doctor` checks and the tests take away one by one.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use crate::config::{Config, OnReject};

/// What may be done; named as in Kafka's ACLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Operation {
    Read,
    Write,
    DescribeConfigs,
}

impl Operation {
    /// As Kafka's tools write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::DescribeConfigs => "DescribeConfigs",
        }
    }
}

/// To what it may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The topic of this name.
    Topic(String),
    /// The consumer group of this name.
    Group(String),
    /// All transactional ids that begin so: every instance has one of its own.
    TransactionalIds(String),
}

impl Resource {
    /// Its type, name and kind of pattern in Kafka's ACLs.
    pub fn pattern(&self) -> (&'static str, &str, &'static str) {
        match self {
            Self::Topic(name) => ("topic", name, "literal"),
            Self::Group(name) => ("group", name, "literal"),
            Self::TransactionalIds(prefix) => ("transactional-id", prefix, "prefixed"),
        }
    }
}

impl Resource {
    /// Its type, name and kind of pattern as Strimzi writes them.
    fn strimzi(&self) -> (&'static str, &str, &'static str) {
        match self {
            Self::Topic(name) => ("topic", name, "literal"),
            Self::Group(name) => ("group", name, "literal"),
            Self::TransactionalIds(prefix) => ("transactionalId", prefix, "prefix"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(name) => write!(f, "consumer group {name}"),
            Self::TransactionalIds(prefix) => {
                write!(f, "transactional ids that begin with {prefix}")
            }
        }
    }
}

/// One right. Describe comes with Read and Write, so it is never listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What may be done.
    pub operation: Operation,
    /// To what.
    pub resource: Resource,
    /// What it is needed for.
    pub purpose: &'static str,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.operation.as_str(), self.resource)
    }
}

/// What the transactional ids of all instances of the service begin with.
fn transactional_prefix(config: &Config) -> String {
    format!("{}/", config.kafka.group_id)
}

/// Every right that the service needs with this configuration, and no more. `recover`, snapshots and
/// the look-up of the group need no others.
pub fn needed(config: &Config) -> Vec<Right> {
    use Operation::{DescribeConfigs, Read, Write};
    let topic = |name: &str| Resource::Topic(name.to_owned());
    let output = &config.output;
    let right = |operation, resource, purpose| Right { operation, resource, purpose };
    let mut rights = Vec::new();
    for input in &config.input.topics {
        rights.push(right(Read, topic(input), "reads scans and commits how far they are read"));
        rights.push(right(DescribeConfigs, topic(input), "checks how long scans are kept"));
    }
    let open = &output.open;
    rights.push(right(Read, topic(open), "restores what is open"));
    rights.push(right(Write, topic(open), "keeps what is open and the cut records"));
    rights.push(right(DescribeConfigs, topic(open), "checks that it is compacted"));
    rights.push(right(Write, topic(&output.exceptions), "publishes exceptions"));
    if config.input.on_reject == OnReject::DeadLetter {
        rights.push(right(Write, topic(&output.dead_letter), "puts rejected records aside"));
    }
    let group = Resource::Group(config.kafka.group_id.clone());
    rights.push(right(Read, group, "shares partitions among instances, keeps offsets"));
    let transactions = Resource::TransactionalIds(transactional_prefix(config));
    rights.push(right(Write, transactions, "commits all of it at once"));
    rights
}

/// What `doctor` needs besides, to look at the settings of all topics. The service does without.
pub fn needed_by_doctor(config: &Config) -> Vec<Right> {
    let of = |name: &String| Right {
        operation: Operation::DescribeConfigs,
        resource: Resource::Topic(name.clone()),
        purpose: "lets doctor check its settings",
    };
    let mut rights = vec![of(&config.output.exceptions)];
    if config.input.on_reject == OnReject::DeadLetter {
        rights.push(of(&config.output.dead_letter));
    }
    rights
}

/// The rights on a topic that it cannot even be seen without.
pub fn to_see(config: &Config, topic: &str) -> String {
    let topic = Resource::Topic(topic.to_owned());
    let rights = needed(config);
    let shows =
        |right: &&Right| right.resource == topic && right.operation != Operation::DescribeConfigs;
    let names: Vec<_> = rights.iter().filter(shows).map(|right| right.operation.as_str()).collect();
    names.join(" and ")
}

/// Rights on one resource together, in the order of the list.
fn by_resource(rights: &[Right]) -> Vec<(&Resource, Vec<&Right>)> {
    let mut grouped: Vec<(&Resource, Vec<&Right>)> = Vec::new();
    for right in rights {
        match grouped.iter_mut().find(|(resource, _)| **resource == right.resource) {
            Some((_, same)) => same.push(right),
            None => grouped.push((&right.resource, vec![right])),
        }
    }
    grouped
}

/// Lines for a shell that grant the rights with Kafka's own tool. `admin` are the options by which
/// an administrator reaches the broker.
pub fn commands(rights: &[Right], principal: &str, admin: &str) -> Vec<String> {
    let lines = by_resource(rights).into_iter().map(|(resource, rights)| {
        let mut line =
            format!("kafka-acls.sh {admin} --add --allow-principal {}", quote(principal));
        for right in rights {
            let _ = write!(line, " --operation {}", right.operation.as_str());
        }
        let (kind, name, pattern) = resource.pattern();
        let _ = write!(line, " --{kind} {} --resource-pattern-type {pattern}", quote(name));
        line
    });
    lines.collect()
}

/// The list for a script.
pub fn to_json(rights: &[Right], principal: &str) -> Value {
    let entry = |right: &Right| {
        let (kind, name, pattern) = right.resource.pattern();
        json!({
            "principal": principal,
            "operation": right.operation.as_str(),
            "resource": kind,
            "name": name,
            "pattern": pattern,
            "purpose": right.purpose,
        })
    };
    rights.iter().map(entry).collect()
}

/// How a Strimzi user proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StrimziLogin {
    ScramSha512,
    Tls,
}

/// A KafkaUser of Strimzi with the rights; texts are quoted as JSON, which YAML reads.
pub fn strimzi(rights: &[Right], user: &str, cluster: &str, login: StrimziLogin) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let login = match login {
        StrimziLogin::ScramSha512 => "scram-sha-512",
        StrimziLogin::Tls => "tls",
    };
    let mut yaml = format!(
        "apiVersion: kafka.strimzi.io/v1beta2\n\
         kind: KafkaUser\n\
         metadata:\n  name: {}\n  labels:\n    strimzi.io/cluster: {}\n\
         spec:\n  authentication:\n    type: {login}\n  authorization:\n    type: simple\n    acls:\n",
        text(user),
        text(cluster),
    );
    for (resource, rights) in by_resource(rights) {
        let (kind, name, pattern) = resource.strimzi();
        let operations: Vec<_> = rights.iter().map(|right| right.operation.as_str()).collect();
        let purposes: Vec<_> = rights.iter().map(|right| right.purpose).collect();
        let _ = write!(
            yaml,
            "      # {}\n      - resource:\n          type: {kind}\n          name: {}\n          patternType: {pattern}\n        operations: [{}]\n",
            purposes.join("; "),
            text(name),
            operations.join(", "),
        );
    }
    yaml
}

/// A word of a shell, in quotes where it needs them.
pub fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(more: &str) -> Config {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"localhost:9092\"\ngroup_id = \"it's\"\ninstance_id = \"i\"\n[policies]\nfile = \"p\"\n{more}"
        );
        Config::parse("c.toml", &text, std::path::Path::new(""), &Environment::ignored()).unwrap()
    }

    #[test]
    fn rights_on_one_resource_are_granted_by_one_command_and_names_are_quoted() {
        let lines = commands(&needed(&config("")), "User:clerk", "--bootstrap-server b:1");
        assert_eq!(lines.len(), 6, "{lines:#?}");
        assert_eq!(
            lines[1],
            "kafka-acls.sh --bootstrap-server b:1 --add --allow-principal User:clerk --operation Read --operation Write --operation DescribeConfigs --topic tracking.exceptions.open.v1 --resource-pattern-type literal"
        );
        assert!(lines[5].ends_with(
            r"--operation Write --transactional-id 'it'\''s/' --resource-pattern-type prefixed"
        ));
    }

    #[test]
    fn without_dead_letters_their_topic_needs_no_right() {
        let rights = needed(&config("[input]\non_reject = \"skip\"\n"));
        assert!(rights.iter().all(|right| !right.to_string().contains("dlq")), "{rights:?}");
    }

    #[test]
    fn a_strimzi_user_has_every_right_of_the_list_once() {
        let rights = needed(&config(""));
        let yaml = strimzi(&rights, "stall\"watch", "kafka", StrimziLogin::Tls);
        assert!(yaml.contains("  name: \"stall\\\"watch\"\n"), "{yaml}");
        assert!(yaml.contains("type: transactionalId\n          name: \"it's/\"\n          patternType: prefix\n        operations: [Write]\n"), "{yaml}");
        let listed: usize = yaml
            .lines()
            .filter_map(|line| line.trim().strip_prefix("operations: "))
            .map(|line| line.split(',').count())
            .sum();
        assert_eq!(listed, rights.len(), "{yaml}");
    }
}
