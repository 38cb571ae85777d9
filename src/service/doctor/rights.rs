//! Whether the user has every right of the list, one by one.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use super::{Report, certificates};
use crate::config::Config;
use crate::service::kafka;
use crate::service::native::describe::{Group, Topic};
use crate::service::rights::{Resource, Right, commands, needed};
use crate::service::topics::administrator;

const CHECK: &str = "rights";
/// As brokers call those who do not say who they are.
const NOBODY: &str = "ANONYMOUS";

/// What was found of a topic.
pub(super) type Found = (String, Result<Topic, RDKafkaErrorCode>);

/// True when the group and what is stored may be looked at.
pub(super) fn check(
    config: &Config,
    topics: &[Found],
    group: &Result<Group, KafkaError>,
    report: &mut Report,
) -> bool {
    let mut all = true;
    for right in needed(config) {
        all &= match &right.resource {
            Resource::Topic(name) => {
                let topic = topics.iter().find(|(found, _)| found == name);
                of_topic(config, &right, topic.map(|(_, found)| found), report)
            }
            Resource::Group(_) => of_group(config, &right, group, report),
            Resource::TransactionalIds(_) => of_transactions(config, &right, group, report),
        };
    }
    all
}

fn of_topic(
    config: &Config,
    right: &Right,
    topic: Option<&Result<Topic, RDKafkaErrorCode>>,
    report: &mut Report,
) -> bool {
    match topic {
        Some(Ok(Topic { allowed: Some(allowed), .. })) if allowed.contains(&right.operation) => {
            report.ok(CHECK, right.to_string());
            true
        }
        Some(Ok(Topic { allowed: None, .. })) => not_told(right, report),
        Some(Ok(_) | Err(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
            missing(config, right, report)
        }
        Some(Err(_)) => {
            report.skip(CHECK, format!("{right}: the topic does not exist"));
            false
        }
        None => {
            report.skip(CHECK, format!("{right}: the broker said nothing of the topic"));
            false
        }
    }
}

fn of_group(
    config: &Config,
    right: &Right,
    group: &Result<Group, KafkaError>,
    report: &mut Report,
) -> bool {
    match group {
        Ok(Group { allowed: Some(allowed), .. }) if allowed.contains(&right.operation) => {
            report.ok(CHECK, right.to_string());
            true
        }
        Ok(Group { allowed: None, .. }) => not_told(right, report),
        Ok(_) => missing(config, right, report),
        Err(error) => match kafka::code(error) {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => missing(config, right, report),
            Some(RDKafkaErrorCode::GroupIdNotFound) => {
                report.skip(CHECK, format!("{right}: the group does not exist yet"));
                true
            }
            _ => {
                report.skip(CHECK, kafka::explain(error, &right.to_string()));
                false
            }
        },
    }
}

/// A transactional id can only be tried by taking it, which fences whoever has it. So one is taken
/// that no instance has; only where rights are granted id by id, and nobody is there who could be
/// fenced, our own.
fn of_transactions(
    config: &Config,
    right: &Right,
    group: &Result<Group, KafkaError>,
    report: &mut Report,
) -> bool {
    let own = kafka::transactional_id(&config.kafka);
    let another = format!("{own}/doctor");
    match take(config, &another) {
        Ok(()) => {
            report.ok(CHECK, format!("{right} (tried with {another}, which no instance has)"));
            return true;
        }
        Err(error) if !is_refused(&error) => {
            report.fail(CHECK, kafka::explain(&error, &format!("{right}, tried with {another}")), "look at the broker's log; transaction.max.timeout.ms must not be below kafka.transaction_timeout");
            return false;
        }
        Err(_) => {}
    }
    let empty = match group {
        Ok(group) => group.members.is_empty(),
        Err(error) => kafka::code(error) == Some(RDKafkaErrorCode::GroupIdNotFound),
    };
    if !empty {
        let why = format!(
            "{another} is refused; whether {own} is allowed by itself cannot be tried while instances run, as that would fence one"
        );
        report.warn(CHECK, why, remedy(config, right));
        return true;
    }
    match take(config, &own) {
        Ok(()) => {
            report.warn(
                CHECK,
                format!(
                    "Write on transactional id {own} alone: instances of other names have none"
                ),
                remedy(config, right),
            );
            true
        }
        Err(_) => missing(config, right, report),
    }
}

fn take(config: &Config, id: &str) -> Result<(), KafkaError> {
    let timeout = config.kafka.transaction_timeout;
    let producer: BaseProducer = kafka::common(&config.kafka)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        .create()?;
    producer.init_transactions(super::PATIENCE)
}

fn is_refused(error: &KafkaError) -> bool {
    kafka::code(error) == Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed)
}

fn not_told(right: &Right, report: &mut Report) -> bool {
    report.skip(CHECK, format!("{right}: this broker does not tell what a user may do"));
    true
}

fn missing(config: &Config, right: &Right, report: &mut Report) -> bool {
    let says = format!("the user lacks the right {right}, which {}", right.purpose);
    report.fail(CHECK, says, remedy(config, right));
    false
}

fn remedy(config: &Config, right: &Right) -> String {
    let user = certificates::user(&config.kafka).ok().flatten();
    let principal = format!("User:{}", user.as_deref().unwrap_or(NOBODY));
    let lines = commands(std::slice::from_ref(right), &principal, &administrator(&config.kafka));
    format!("grant it: {}", lines.join("; "))
}
