//! Whether the topics are there and set as they should be.

use rdkafka::admin::ConfigResource;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use super::Report;
use super::rights::Found;
use crate::config::{Config, OnReject};
use crate::detector::policy::PolicySet;
use crate::service::commands;
use crate::service::kafka::{self, Meaning, REQUEST};
use crate::service::native::describe::{self, Topic};
use crate::service::rights::Operation;
use crate::service::settings::{
    STAMPED, Settings, as_many, compacted, retention, too_short, unstamped, value,
};
use crate::service::topics::{COMPACTION_LAG_MS, DELETE_RETENTION_MS, SEGMENT_MS};

const CHECK: &str = "topics";
/// What a topic is to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Input,
    Open,
    Exceptions,
    DeadLetter,
}

/// Asks for the topics that are looked at.
///
/// # Errors
/// When the broker does not answer.
pub fn find<C: ClientContext>(config: &Config, client: &Client<C>) -> KafkaResult<Vec<Found>> {
    let names = names(config);
    let names: Vec<_> = names.iter().map(|(_, name)| *name).collect();
    describe::topics(client, &names, REQUEST)
}

/// The topics that are looked at.
fn names(config: &Config) -> Vec<(Role, &str)> {
    let output = &config.output;
    let mut names = vec![
        (Role::Input, config.input.topics.first().map_or("", String::as_str)),
        (Role::Open, output.open.as_str()),
        (Role::Exceptions, output.exceptions.as_str()),
    ];
    if config.input.on_reject == OnReject::DeadLetter {
        names.push((Role::DeadLetter, output.dead_letter.as_str()));
    }
    names
}

pub(super) fn check(
    config: &Config,
    policies: &PolicySet,
    found: &[Found],
    settings: &Settings,
    report: &mut Report,
) {
    let topic = |name: &str| found.iter().find(|(found, _)| found == name);
    let create = || {
        let brokers = kafka::brokers(settings.admin().inner()).unwrap_or_default();
        let print = commands::ours(config, "topics print");
        format!("create it: {}; or what {print} prints", commands::create_topics(config, brokers))
    };
    for (_, name) in names(config) {
        match topic(name) {
            Some((_, Ok(topic))) => replicas(topic, report),
            Some((_, Err(code))) if kafka::meaning(*code) == Meaning::NoSuchTopic => {
                report.fail(CHECK, format!("{name} does not exist"), create());
            }
            Some((_, Err(RDKafkaErrorCode::TopicAuthorizationFailed))) => {
                report.skip(CHECK, format!("{name}: the user must not see it"));
            }
            Some((_, Err(code))) => {
                report.fail(CHECK, format!("{name}: {code}"), "look at the broker's log");
            }
            None => {}
        }
    }
    counts(config, found, report);
    of_settings(config, policies, found, settings, report);
}

/// What the topics are set to. The service looks at this too when it starts.
pub fn of_settings(
    config: &Config,
    policies: &PolicySet,
    found: &[Found],
    settings: &Settings,
    report: &mut Report,
) {
    for (role, name) in names(config) {
        if let Some((_, Ok(topic))) = found.iter().find(|(found, _)| found == name) {
            Look { config, policies, role, topic, report }.look(settings);
        }
    }
}

fn counts(config: &Config, found: &[Found], report: &mut Report) {
    let count = |name: &str| {
        let (_, topic) = found.iter().find(|(found, _)| found == name)?;
        topic.as_ref().ok().map(|topic| topic.partitions.len())
    };
    let input = config.input.topics.first().map_or("", String::as_str);
    let open = &config.output.open;
    match (count(input), count(open)) {
        (Some(scans), Some(table)) => match as_many(config, scans, table) {
            Ok(()) => report.ok(CHECK, format!("{input} and {open} both have {scans} partitions")),
            Err((says, remedy)) => report.fail(CHECK, says, remedy),
        },
        _ => report.skip(CHECK, format!("whether {input} and {open} have as many partitions")),
    }
}

fn replicas(topic: &Topic, report: &mut Report) {
    let (name, partitions) = (&topic.name, &topic.partitions);
    let lost = partitions.iter().filter(|one| !one.led).count();
    let behind = partitions.iter().filter(|one| one.in_sync < one.replicas).count();
    let replicas = partitions.iter().map(|one| one.replicas).min().unwrap_or(0);
    if lost > 0 {
        let says = format!("{name}: {lost} partitions have no leader");
        report.fail(CHECK, says, "bring their brokers back");
    } else if behind > 0 {
        let says = format!("{name}: {behind} partitions have replicas that are not in sync");
        report.warn(CHECK, says, "look after their brokers");
    } else if replicas < 2 {
        let says = format!("{name} has one replica: it is lost with its broker");
        report.warn(CHECK, says, "have 3, with kafka-reassign-partitions.sh");
    } else {
        report.ok(CHECK, format!("{name}: {} partitions, {replicas} replicas", partitions.len()));
    }
}

/// One topic, looked at.
struct Look<'l> {
    config: &'l Config,
    policies: &'l PolicySet,
    role: Role,
    topic: &'l Topic,
    report: &'l mut Report,
}

impl Look<'_> {
    fn look(mut self, settings: &Settings) {
        let name = &self.topic.name;
        let found = match settings.of(name) {
            Ok(found) => found,
            Err(error) => {
                let doing = format!("the settings of {name}");
                let why = kafka::explain_on_topic(&error, &doing, Operation::DescribeConfigs);
                return match self.role {
                    Role::Exceptions | Role::DeadLetter => {
                        let print = commands::ours(self.config, "acls print --doctor");
                        self.report.skip(CHECK, format!("{why}; to see what grants it: {print}"));
                    }
                    Role::Input | Role::Open => self.report.unknown(CHECK, why),
                };
            }
        };
        self.in_sync(&found);
        match self.role {
            Role::Input => self.input(&found),
            Role::Open => self.open(&found),
            Role::Exceptions | Role::DeadLetter => self.events(&found),
        }
    }

    fn set(&self, setting: &str) -> String {
        format!("set it: {}", commands::set(&self.config.kafka, &self.topic.name, setting))
    }

    fn in_sync(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        let replicas = self.topic.partitions.iter().map(|one| one.replicas).min().unwrap_or(0);
        let least = value(found, "min.insync.replicas").and_then(|text| text.parse().ok());
        let Some(least) = least.filter(|_| replicas > 0) else { return };
        let says = format!("{name}: min.insync.replicas is {least} of {replicas} replicas");
        let better = self.set(&format!("min.insync.replicas={}", (replicas - 1).max(1)));
        match least {
            _ if least > replicas => {
                self.report.fail(CHECK, format!("{says}: nothing can be written"), better);
            }
            _ if replicas == 1 => {}
            _ if least == replicas => {
                self.report.warn(
                    CHECK,
                    format!("{says}: without one broker nothing can be written"),
                    better,
                );
            }
            1 => {
                let says = format!("{says}: what was written can be lost with one broker");
                self.report.warn(CHECK, says, better);
            }
            _ => self.report.ok(CHECK, says),
        }
    }

    fn input(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        match value(found, "cleanup.policy") {
            Some(policy) if policy.contains("compact") => {
                let says =
                    format!("{name} has cleanup.policy={policy}: scans are lost before their time");
                self.report.fail(CHECK, says, self.set("cleanup.policy=delete"));
            }
            _ => self.kept_long_enough(found),
        }
        match value(found, "message.timestamp.type") {
            Some("LogAppendTime") => {
                self.report.ok(CHECK, format!("{name}: the broker sets timestamps"));
            }
            Some(other) => {
                let margin = self.config.input.clock_margin;
                let margin = margin.unwrap_or(crate::config::CLOCK_MARGIN_CREATE_TIME);
                let says = format!(
                    "{name} has message.timestamp.type={other}: timestamps are as good as the clocks of those who write, and exceptions wait {} s longer",
                    margin.as_secs()
                );
                self.report.warn(CHECK, says, self.set("message.timestamp.type=LogAppendTime"));
            }
            None => self.report.skip(CHECK, format!("{name}: who sets its timestamps")),
        }
        if let Some(bytes) = value(found, "retention.bytes").filter(|bytes| *bytes != "-1") {
            let says = format!(
                "{name} has retention.bytes={bytes}: on a busy day records go before their time"
            );
            let remedy = self.set("retention.bytes=-1");
            match self.config.state.url {
                Some(_) => self.report.warn(CHECK, says, remedy),
                None => {
                    let says = format!(
                        "{says}, and there are no snapshots: a restart forgets packages then"
                    );
                    self.report.fail_in_time(CHECK, says, remedy);
                }
            }
        }
    }

    /// Against what a package's state may need when it is rebuilt from the log alone.
    fn kept_long_enough(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        let retention_ms = value(found, "retention.ms");
        let forget_after = self.policies.defaults().forget_after;
        let longest = longest_step(self.policies);
        let wanted = crate::service::settings::wanted_retention(forget_after) * 1_000;
        let remedy = self.set(&format!("retention.ms={wanted}"));
        let days = |seconds: i64| format!("{:.1} days", seconds as f64 / 86_400.0);
        match retention(retention_ms) {
            Some(kept) if kept < longest && self.config.state.url.is_none() => {
                let says = format!(
                    "{name} keeps records for {}, the longest step is {}, and there are no snapshots: a restart forgets packages that are due",
                    days(kept),
                    days(longest)
                );
                self.report.fail_in_time(CHECK, says, remedy);
            }
            kept => match (too_short(name, retention_ms, forget_after), kept) {
                (Some(why), _) => self.report.warn(CHECK, why, remedy),
                (None, Some(kept)) => {
                    self.report.ok(CHECK, format!("{name} keeps records for {}", days(kept)));
                }
                (None, None) => self.report.ok(CHECK, format!("{name} keeps records for ever")),
            },
        }
    }

    fn open(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        match compacted(name, value(found, "cleanup.policy")) {
            Ok(()) => self.report.ok(CHECK, format!("{name} is compacted")),
            Err(why) => self.report.fail(CHECK, why, self.set("cleanup.policy=compact")),
        }
        match unstamped(name, value(found, "message.timestamp.type")) {
            None => self.report.ok(CHECK, format!("{name} is stamped by its brokers")),
            Some(why) => self.report.warn(CHECK, why, self.set(STAMPED)),
        }
        self.kept_no_longer_than_needed(found);
    }

    /// All of the open topic is read by every restart, and by subscribers that build a table of it.
    fn kept_no_longer_than_needed(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        let number = |setting| value(found, setting).and_then(|text| text.parse::<i64>().ok());
        for (setting, planned) in [
            ("delete.retention.ms", DELETE_RETENTION_MS),
            ("segment.ms", SEGMENT_MS),
            ("max.compaction.lag.ms", COMPACTION_LAG_MS),
        ] {
            let remedy = self.set(&format!("{setting}={planned}"));
            let Some(kept) = number(setting).filter(|kept| *kept != planned) else { continue };
            let says = format!("{name} has {setting}={kept}");
            if kept > planned {
                let says = format!(
                    "{says}: a restart reads more deletions, cut records and commit markers than it need"
                );
                self.report.warn(CHECK, says, remedy);
            } else if setting == "delete.retention.ms" {
                let says = format!(
                    "{says}: a subscriber that is away for longer keeps as open what has been closed"
                );
                self.report.warn(CHECK, says, remedy);
            }
        }
    }

    fn events(&mut self, found: &ConfigResource) {
        let name = &self.topic.name;
        match value(found, "cleanup.policy") {
            Some(policy) if policy.contains("compact") => {
                let says = format!(
                    "{name} has cleanup.policy={policy}: of several events of a package only the last is kept"
                );
                self.report.warn(CHECK, says, self.set("cleanup.policy=delete"));
            }
            _ => self.report.ok(CHECK, format!("{name} keeps every event")),
        }
    }
}

/// Seconds of the longest silence that any policy waits for.
fn longest_step(policies: &PolicySet) -> i64 {
    let ladders = policies.policies().iter().flat_map(|it| [&it.first_scan, &it.no_movement]);
    ladders.filter_map(|ladder| ladder.last()).map(|step| step.after).max().unwrap_or(0)
}
