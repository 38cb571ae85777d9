//! What the topics are set to, as far as the service depends on it: asked for once, at the start, and
//! by `doctor`, which has the list of checks.

use std::cmp::Ordering;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Shared;
use super::commands;
use super::doctor::{Report, group, topics};
use super::kafka::{self, Context, REQUEST};
use super::native::describe;
use crate::config::{Config, Kafka};

/// How long the group's coordinator is waited for.
const GROUP: Duration = Duration::from_secs(2);

/// Looks at the topics' settings and at who is in the group, as `doctor` does.
///
/// # Errors
/// What the service must not run on, and what to do. All else that is worth a change is told in the
/// log.
pub fn check(shared: &Shared) -> Result<(), String> {
    let config = &shared.config;
    let (mut report, policies) = (Report::default(), shared.policies.get());
    let asked = Settings::new(&config.kafka).and_then(|settings| {
        topics::find(config, settings.admin().inner()).map(|it| (it, settings))
    });
    match asked {
        Ok((found, settings)) => {
            topics::of_settings(config, &policies, &found, &settings, &mut report);
        }
        Err(error) => {
            let why = kafka::explain(&error, "asking for the settings of the topics");
            tracing::warn!("{why}; whether they are set as they should be is not known");
        }
    }
    let group = kafka::asker(&config.kafka)
        .and_then(|client| describe::group(client.client(), &config.kafka.group_id, GROUP));
    // One that cannot be asked now shows when it is joined.
    if group.is_ok() {
        group::members(config, &group, &mut report);
    }
    report.worth_a_change().for_each(|finding| tracing::warn!("{finding}"));
    let refused: Vec<_> = report.refused().collect();
    if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
}

/// Asks for settings of topics.
pub struct Settings {
    admin: AdminClient<Context>,
    runtime: tokio::runtime::Runtime,
}

impl Settings {
    /// A client to ask with.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(kafka: &Kafka) -> Result<Self, KafkaError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
        Ok(Self { admin: kafka::common(kafka).create_with_context(Context::default())?, runtime })
    }

    /// All settings of a topic.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub fn of(&self, topic: &str) -> Result<ConfigResource, KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        let topic = ResourceSpecifier::Topic(topic);
        let asked = self.admin.describe_configs([&topic], &options);
        let answer = self.runtime.block_on(asked)?.into_iter().next();
        let refused = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);
        match answer {
            // The bindings drop the refusal of a single topic, and only the lack of settings shows it.
            Some(Ok(found)) if found.entries.is_empty() => Err(refused),
            Some(Ok(found)) => Ok(found),
            Some(Err(code)) => Err(KafkaError::AdminOp(code)),
            None => Err(refused),
        }
    }

    /// The client itself.
    pub fn admin(&self) -> &AdminClient<Context> {
        &self.admin
    }

    /// Waits for something that is asked with [`Self::admin`].
    pub fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }
}

/// What a setting says.
pub fn value<'a>(resource: &'a ConfigResource, name: &str) -> Option<&'a str> {
    resource.get(name)?.value.as_deref()
}

/// Whether the open topic is kept as it must be.
///
/// # Errors
/// Why it is not, and what to do.
pub fn compacted(topic: &str, policy: Option<&str>) -> Result<(), String> {
    match policy {
        None | Some("compact") => Ok(()),
        Some(other) => Err(format!(
            "the open topic {topic} has cleanup.policy={other}: what has been open for long would be lost; set cleanup.policy=compact, and nothing else"
        )),
    }
}

/// Who sets a topic's timestamps: its broker.
pub const LOG_APPEND_TIME: &str = "LogAppendTime";
/// How that is set.
pub const STAMPED: &str = "message.timestamp.type=LogAppendTime";

/// What it means that an open topic is not stamped by its brokers, where it is not.
pub fn unstamped(topic: &str, kind: Option<&str>) -> Option<String> {
    let other = kind.filter(|kind| *kind != LOG_APPEND_TIME)?;
    Some(format!(
        "the open topic {topic} has message.timestamp.type={other}: no broker tells the time by it, and the clock of this machine stands in, whose steps hold all frontiers for a minute"
    ))
}

/// What is wrong where input and open topic differ in their number of partitions, and what to do: never
/// to make the open topic anew, as all that is open would be published once more.
///
/// # Errors
/// That, if they differ.
pub fn as_many(config: &Config, input: usize, open: usize) -> Result<(), (String, String)> {
    let scans = config.input.topics.first().map_or("", String::as_str);
    let table = config.output.open.as_str();
    let says = format!(
        "the open topic {table} has {open} partitions, the input topic {scans} has {input}; they must be equal"
    );
    let what =
        "docs/OPERATING.md, Adding partitions, tells what that does to packages on their way";
    let add = |topic, to| commands::add_partitions(&config.kafka, topic, to);
    match open.cmp(&input) {
        Ordering::Equal => Ok(()),
        Ordering::Less => {
            let remedy = format!(
                "add partitions to the open topic, and do not make it anew ({what}): {}",
                add(table, input)
            );
            Err((says, remedy))
        }
        Ordering::Greater => {
            let remedy = format!("give the input as many ({what}): {}", add(scans, open));
            Err((says, remedy))
        }
    }
}

/// How long a topic of scans should keep records, in seconds: a package may be known for
/// `forget_after`, and a snapshot may be lost at its end.
pub fn wanted_retention(forget_after: i64) -> i64 {
    2 * forget_after
}

/// What a `retention.ms` says, in seconds; `None` is for ever.
pub fn retention(retention_ms: Option<&str>) -> Option<i64> {
    let kept = retention_ms.and_then(|text| text.parse::<i64>().ok());
    kept.filter(|kept| *kept >= 0).map(|kept| kept / 1000)
}

/// Why the input keeps records too short a time, if it does.
pub fn too_short(topic: &str, retention_ms: Option<&str>, forget_after: i64) -> Option<String> {
    let wanted = wanted_retention(forget_after);
    let kept = retention(retention_ms).filter(|kept| *kept < wanted)?;
    let (kept, wanted) = (kept / 86_400, wanted / 86_400);
    Some(format!(
        "the input topic {topic} keeps records for {kept} days (retention.ms); with less than {wanted}, twice forget_after, packages may be rebuilt without their beginning when the snapshots are lost"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_topic_that_its_brokers_do_not_stamp_is_told() {
        assert_eq!(unstamped("open", Some(LOG_APPEND_TIME)), None);
        assert_eq!(unstamped("open", None), None, "not told");
        assert!(unstamped("open", Some("CreateTime")).unwrap().contains("CreateTime"));
    }

    #[test]
    fn only_a_topic_that_is_compacted_and_nothing_else_will_do() {
        assert_eq!(compacted("open", Some("compact")), Ok(()));
        assert_eq!(compacted("open", None), Ok(()), "not told");
        for policy in ["delete", "compact,delete"] {
            let why = compacted("open", Some(policy)).unwrap_err();
            assert!(why.contains(policy) && why.contains("open"), "{why}");
        }
    }
}
