//! The topics that the service works on, as they should be: printed, created, compared.

use std::fmt::{self, Write as _};
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use serde_json::{Value, json};

use super::kafka::{self, REQUEST};
use super::native::describe;
use super::rights::{Operation, quote};
use super::settings::{LOG_APPEND_TIME, Settings, value, wanted_retention};
use crate::config::{Config, Kafka};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Partitions of topics of which nothing is known.
const PARTITIONS: i32 = 12;
/// How long deletions and commit markers stay in the open topic: subscribers that build a table of it
/// and were away for longer begin anew, and a restart reads all of them.
pub const DELETE_RETENTION_MS: i64 = 6 * HOUR_MS;
/// How long the open topic is written to a segment, which is not cleaned before.
pub const SEGMENT_MS: i64 = HOUR_MS;
/// How long what has been replaced may stay in the open topic, whatever share of it that is.
pub const COMPACTION_LAG_MS: i64 = 5 * 60_000;

/// How large topics are made.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Partitions of each; `None`: as many as the input has.
    pub partitions: Option<i32>,
    /// Replicas of each partition.
    pub replication_factor: i32,
}

/// A topic as it should be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is to the service.
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i32,
    /// Its settings.
    pub settings: Vec<(&'static str, String)>,
}

/// The topics with their settings. `forget_after` is that of the policies, in seconds.
pub fn plan(config: &Config, forget_after: i64, sizes: Sizes) -> Vec<Plan> {
    let delete = |retention_ms: i64| {
        vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", retention_ms.to_string())]
    };
    let mut scans = delete(wanted_retention(forget_after) * 1_000);
    scans.push(("message.timestamp.type", LOG_APPEND_TIME.to_owned()));
    let open = vec![
        ("cleanup.policy", "compact".to_owned()),
        ("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
        ("segment.ms", SEGMENT_MS.to_string()),
        ("max.compaction.lag.ms", COMPACTION_LAG_MS.to_string()),
        ("message.timestamp.type", LOG_APPEND_TIME.to_owned()),
    ];
    let output = &config.output;
    let input = config.input.topics.first().map_or("", String::as_str);
    [
        ("input", input, scans),
        ("exceptions", output.exceptions.as_str(), delete(14 * DAY_MS)),
        ("open", output.open.as_str(), open),
        ("dead letter", output.dead_letter.as_str(), delete(30 * DAY_MS)),
    ]
    .into_iter()
    .map(|(role, name, mut settings)| {
        let in_sync = (sizes.replication_factor - 1).max(1);
        settings.push(("min.insync.replicas", in_sync.to_string()));
        Plan {
            role,
            name: name.to_owned(),
            partitions: sizes.partitions.unwrap_or(PARTITIONS),
            replication_factor: sizes.replication_factor,
            settings,
        }
    })
    .collect()
}

/// The options by which an administrator reaches the broker with Kafka's own tools; how to log in
/// stands in a file of theirs.
pub fn administrator(kafka: &Kafka) -> String {
    let servers = quote(&kafka.bootstrap_servers);
    match kafka.security.protocol {
        crate::config::Protocol::Plaintext => format!("--bootstrap-server {servers}"),
        _ => format!("--bootstrap-server {servers} --command-config admin.properties"),
    }
}

impl Plan {
    /// The line for a shell that creates it with Kafka's own tool.
    pub fn command(&self, admin: &str) -> String {
        let mut line = format!(
            "kafka-topics.sh {admin} --create --if-not-exists --topic {} --partitions {} --replication-factor {}",
            quote(&self.name),
            self.partitions,
            self.replication_factor,
        );
        for (key, value) in &self.settings {
            let _ = write!(line, " --config {key}={value}");
        }
        line
    }

    /// For a script.
    pub fn to_json(&self) -> Value {
        let settings: serde_json::Map<_, _> =
            self.settings.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        json!({
            "role": self.role,
            "topic": self.name,
            "partitions": self.partitions,
            "replication_factor": self.replication_factor,
            "settings": settings,
        })
    }
}

/// What became of a topic.
#[derive(Clone, Debug)]
pub struct Created {
    role: &'static str,
    topic: String,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
enum Outcome {
    Made(i32),
    /// It was there before; where it differs from the plan.
    Exists(Vec<String>),
    Failed(String),
}

impl Created {
    /// Whether it is not there.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    /// For a script.
    pub fn to_json(&self) -> Value {
        let (outcome, differs, error) = match &self.outcome {
            Outcome::Made(_) => ("created", &[][..], None),
            Outcome::Exists(differs) => ("exists", &differs[..], None),
            Outcome::Failed(why) => ("failed", &[][..], Some(why)),
        };
        json!({ "role": self.role, "topic": self.topic, "outcome": outcome, "differs": differs, "error": error })
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, topic, outcome } = self;
        match outcome {
            Outcome::Made(partitions) => {
                write!(f, "{topic} ({role}): created with {partitions} partitions")
            }
            Outcome::Exists(differs) if differs.is_empty() => write!(f, "{topic} ({role}): exists"),
            Outcome::Exists(differs) => {
                write!(f, "{topic} ({role}): exists, and differs: {}", differs.join("; "))
            }
            Outcome::Failed(why) => write!(f, "{topic} ({role}): not created: {why}"),
        }
    }
}

/// Creates the topics that are missing.
///
/// # Errors
/// When the broker cannot be asked at all.
pub fn create(config: &Config, forget_after: i64, sizes: Sizes) -> Result<Vec<Created>, String> {
    let servers = &config.kafka.bootstrap_servers;
    let failed = |error: &rdkafka::error::KafkaError| {
        kafka::explain(error, &format!("asking for the topics at {servers}"))
    };
    let settings = Settings::new(&config.kafka).map_err(|error| failed(&error))?;
    let names: Vec<_> = plan(config, forget_after, sizes).into_iter().map(|it| it.name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let client = settings.admin().inner();
    let found = describe::topics(client, &names, REQUEST).map_err(|error| failed(&error))?;
    let found = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, it)| it);
    let input = names.first().and_then(|input| found(input)?.as_ref().ok());
    let count = input.and_then(|input| i32::try_from(input.partitions.len()).ok());
    let plans =
        plan(config, forget_after, Sizes { partitions: sizes.partitions.or(count), ..sizes });
    // Packages are found by partition: whatever is asked for, the open topic follows the input.
    let open_follows = |mut plan: Plan| {
        if plan.role == "open" {
            plan.partitions = count.unwrap_or(plan.partitions);
        }
        plan
    };
    let become_of = |plan: Plan| {
        let outcome = match found(&plan.name) {
            Some(Ok(there)) => Outcome::Exists(differences(&plan, there, &settings)),
            Some(Err(code)) if kafka::meaning(*code) != kafka::Meaning::NoSuchTopic => {
                let error = rdkafka::error::KafkaError::AdminOp(*code);
                Outcome::Failed(kafka::explain(&error, "asking for it"))
            }
            _ => make(&plan, &settings),
        };
        Created { role: plan.role, topic: plan.name, outcome }
    };
    Ok(plans.into_iter().map(open_follows).map(become_of).collect())
}

fn make(plan: &Plan, settings: &Settings) -> Outcome {
    let replication = TopicReplication::Fixed(plan.replication_factor);
    let new = NewTopic::new(&plan.name, plan.partitions, replication);
    let new = plan.settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    let options = AdminOptions::new()
        .request_timeout(Some(REQUEST + Duration::from_secs(20)))
        .operation_timeout(Some(REQUEST + Duration::from_secs(10)));
    let answer = settings.wait(settings.admin().create_topics([&new], &options));
    match answer.map(|results| results.into_iter().next()) {
        Ok(None | Some(Ok(_))) => Outcome::Made(plan.partitions),
        Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => Outcome::Exists(Vec::new()),
        Ok(Some(Err((_, code @ RDKafkaErrorCode::TopicAuthorizationFailed)))) => Outcome::Failed(
            format!("the user lacks the right Create on topic {} ({code})", plan.name),
        ),
        Ok(Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor)))) => Outcome::Failed(format!(
            "there are not enough brokers for {} replicas; give --replication-factor",
            plan.replication_factor
        )),
        Ok(Some(Err((_, code)))) => Outcome::Failed(format!("the broker refuses: {code}")),
        Err(error) => Outcome::Failed(kafka::explain(&error, "asking the broker")),
    }
}

/// Where a topic that is there differs from the plan.
fn differences(plan: &Plan, there: &describe::Topic, settings: &Settings) -> Vec<String> {
    let mut differs = Vec::new();
    let mut compare = |what: &str, is: &str, wanted: &str| {
        if is != wanted {
            differs.push(format!("{what} is {is}, planned is {wanted}"));
        }
    };
    compare("partitions", &there.partitions.len().to_string(), &plan.partitions.to_string());
    let replicas = there.partitions.iter().map(|one| one.replicas).min().unwrap_or(0);
    compare("replication factor", &replicas.to_string(), &plan.replication_factor.to_string());
    match settings.of(&plan.name) {
        Ok(found) => {
            for (key, wanted) in &plan.settings {
                compare(key, value(&found, key).unwrap_or("not told"), wanted);
            }
        }
        Err(error) => {
            let right = Operation::DescribeConfigs;
            differs.push(kafka::explain_on_topic(&error, "its settings are not known", right));
        }
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_commands_name_every_topic_with_what_the_service_depends_on() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.security]\nprotocol = \"ssl\"\n[policies]\nfile = \"p\"\n";
        let environment = Environment::ignored();
        let config = Config::parse("c", text, std::path::Path::new(""), &environment).unwrap();
        let sizes = Sizes { partitions: Some(6), replication_factor: 3 };
        let plans = plan(&config, 86_400, sizes);
        let lines: Vec<_> =
            plans.iter().map(|plan| plan.command(&administrator(&config.kafka))).collect();
        assert_eq!(
            lines[0],
            "kafka-topics.sh --bootstrap-server b:1 --command-config admin.properties --create --if-not-exists --topic carrier.scans.v1 --partitions 6 --replication-factor 3 --config cleanup.policy=delete --config retention.ms=172800000 --config message.timestamp.type=LogAppendTime --config min.insync.replicas=2"
        );
        assert!(
            lines[2].contains("--topic tracking.exceptions.open.v1 --partitions 6 "),
            "{lines:?}"
        );
        assert!(lines[2].contains("cleanup.policy=compact --config delete.retention.ms=21600000 --config segment.ms=3600000 --config max.compaction.lag.ms=300000 --config message.timestamp.type=LogAppendTime"));
    }
}
