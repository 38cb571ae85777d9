//! How the consumer group stands, and whether what it has committed agrees with what is stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Report;
use crate::config::Config;
use crate::protocol::agree::parted;
use crate::service::clock::{Clock, SystemClock};
use crate::service::clock_margin_ms;
use crate::service::kafka;
use crate::service::native::describe::Group;
use crate::service::restore::source_of;
use crate::service::standing::{Halted, Place, Standing};

const CHECK: &str = "group";
/// The state of a group that has neither members nor offsets.
const DEAD: &str = "Dead";
/// How long the open topic is read for.
const LONGEST: Duration = Duration::from_secs(120);

/// `trusted`: the user may look at what is stored.
pub(super) fn check(
    config: &Config,
    group: &Result<Group, KafkaError>,
    trusted: bool,
    report: &mut Report,
) {
    members(config, group, report);
    if !trusted {
        report.skip(CHECK, "whether offsets and cuts agree: a right or a topic is missing");
        return;
    }
    match within(LONGEST, |cancelled| stored(config, cancelled)) {
        Ok(standings) => {
            given_to_nobody(config, group, standings.count(), report);
            standings.tell(report);
        }
        Err(why) => report.fail(CHECK, why, "look at the broker's log"),
    }
}

/// Who is in the group. The service looks at this too when it starts.
pub fn members(config: &Config, group: &Result<Group, KafkaError>, report: &mut Report) {
    let name = &config.kafka.group_id;
    let group = match group {
        Ok(group) => group,
        Err(error) => {
            match kafka::code(error) {
                Some(RDKafkaErrorCode::GroupIdNotFound) => {
                    report.ok(CHECK, format!("{name} does not exist yet"));
                }
                // Told among the rights.
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
                _ => report.fail(
                    CHECK,
                    kafka::explain(error, &format!("asking for group {name}")),
                    "look at the broker's log",
                ),
            }
            return;
        }
    };
    let foreign = |client: &&str| !client.starts_with("stallwatch-");
    let clients: Vec<_> = group.members.iter().map(|member| member.client.as_str()).collect();
    let strangers: Vec<_> = clients.iter().copied().filter(foreign).collect();
    if clients.is_empty() && group.state == DEAD {
        // So the broker describes one that it does not know.
        report.ok(CHECK, format!("{name} does not exist yet"));
    } else if strangers.is_empty() {
        let (state, count) = (&group.state, clients.len());
        report.ok(CHECK, format!("{name} is {state} with {count} members"));
    } else {
        let strangers = strangers.join(", ");
        let says = format!(
            "{name} has members that are none of ours, and what they are given nobody watches: {strangers}"
        );
        report.fail_in_time(CHECK, says, "give the service a kafka.group_id of its own");
    }
    let static_ones = group.members.iter().filter(|member| member.instance.is_some()).count();
    if static_ones < group.members.len() {
        let count = group.members.len() - static_ones;
        let says = format!("{count} members of {name} have no group.instance.id");
        report.warn(CHECK, says, "let only this service use the group");
    }
}

fn given_to_nobody(
    config: &Config,
    group: &Result<Group, KafkaError>,
    partitions: i32,
    report: &mut Report,
) {
    let input = config.input.topics.first().map_or("", String::as_str);
    let nobody = group.as_ref().map(|group| group.given_to_nobody(input, partitions));
    let nobody = nobody.unwrap_or_default();
    if !nobody.is_empty() {
        let says = format!("partitions {nobody:?} of {input} are given to no member, and not read");
        let remedy = "the instances see to it within a minute; else stop them all for longer than kafka.session_timeout";
        report.warn(CHECK, says, remedy);
    }
}

/// What would become of every partition at a start.
#[derive(Default)]
struct Standings {
    go_on: usize,
    first: usize,
    halts: Vec<Halted>,
}

impl Standings {
    fn count(&self) -> i32 {
        i32::try_from(self.go_on + self.first + self.halts.len()).unwrap_or(i32::MAX)
    }

    fn tell(self, report: &mut Report) {
        let Self { go_on, first, halts } = self;
        for Halted { partition, reason, message, .. } in &halts {
            let (says, command) = parted(message);
            let says = format!("partition {partition} halts ({reason}): {says}");
            report.fail(CHECK, says, command.unwrap_or("see docs/OPERATING.md, Disaster recovery"));
        }
        if halts.is_empty() {
            let says = format!(
                "offsets and cuts agree: {go_on} partitions go on, {first} begin for the first time"
            );
            report.ok(CHECK, says);
        }
    }
}

fn stored(config: &Config, cancelled: &AtomicBool) -> Result<Standings, String> {
    let client = |error: KafkaError| kafka::explain(&error, "making a client");
    let (reader, asker) = (kafka::reader(&config.kafka), kafka::asker(&config.kafka));
    let (reader, asker) = (&reader.map_err(client)?, &asker.map_err(client)?);
    let source = &source_of(config, reader)
        .map_err(|error| kafka::explain(&error, "asking for the input"))?;
    let place = Place { config, reader, asker, source };
    let mut standings = Standings::default();
    for partition in 0..source.partitions {
        // It writes nothing, so no broker stamps anything for it.
        let now = || Ok((SystemClock.now_ms(), clock_margin_ms(config, None)));
        let looked = place.look(partition, now, || cancelled.load(Ordering::Relaxed))?;
        match looked.1 {
            Standing::First => standings.first += 1,
            Standing::GoesOn(_) => standings.go_on += 1,
            Standing::Halts(halted) => standings.halts.push(halted),
        }
    }
    Ok(standings)
}

/// Does something that looks at a flag, which is set after a time.
fn within<T: Send>(
    longest: Duration,
    work: impl FnOnce(&AtomicBool) -> Result<T, String> + Send,
) -> Result<T, String> {
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, end) = mpsc::channel();
        let working = scope.spawn(|| {
            let result = work(&cancelled);
            drop(done);
            result
        });
        if end.recv_timeout(longest) == Err::<(), _>(mpsc::RecvTimeoutError::Timeout) {
            cancelled.store(true, Ordering::Relaxed);
        }
        let result = working.join().map_err(|_| "reading the open topic failed".to_owned())?;
        match cancelled.load(Ordering::Relaxed) {
            true => Err(format!("the open topic could not be read within {longest:?}")),
            false => result,
        }
    })
}
