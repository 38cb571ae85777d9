//! Drives the commit cycle: cuts from the workers, one transaction, and what its end means.

use std::collections::BTreeMap;

use crossbeam_channel::bounded;
use rdkafka::error::KafkaError;

use super::{Engine, budget};
use crate::protocol::commit_cycle::{Action, Sent, Stored};
use crate::protocol::halt::{Halt, Other};
use crate::protocol::held::RECORDS_PER_EVENT;
use crate::protocol::keeper::{Finished, Standing};
use crate::protocol::lane::Lane;
use crate::service::ServiceError;
use crate::service::clock::Stopwatch;
use crate::service::contents::Writer;
use crate::service::kafka;
use crate::service::native;
use crate::service::restore::read_stored;
use crate::service::rights::Operation;
use crate::service::sink::Hopeless;
use crate::service::spans;
use crate::service::worker::{Cut, DeadLetter, Job};

/// So few records are never too many.
const FEW: usize = 64;
/// Actions in one round; a cycle that needs more goes on in the next, so that the loop turns.
const ACTIONS: usize = 6;

impl Engine<'_> {
    /// Begins a commit if there is something to say, or goes on with the one under way.
    pub(super) fn commit_round(&mut self) -> Result<(), ServiceError> {
        self.last_commit = Stopwatch::start();
        if self.standing() == Standing::Expelled {
            self.expelled();
            return Ok(());
        }
        if self.keeper.wants_cuts() {
            self.begin();
        }
        for _ in 0..ACTIONS {
            self.shared.status.pulse(0);
            let Some(action) = self.keeper.next().cloned() else {
                return Ok(());
            };
            self.act(action)?;
        }
        Ok(())
    }

    /// Commits everything up to here, behind a commit that is under way; false if that does not come
    /// to its end now.
    pub(super) fn commit_all(&mut self) -> Result<bool, ServiceError> {
        if self.keeper.is_committing() {
            self.commit_round()?;
        }
        if !self.keeper.is_committing() {
            self.commit_round()?;
            return Ok(!self.keeper.is_committing());
        }
        Ok(false)
    }

    fn begin(&mut self) {
        let heartbeat = self.heartbeat.is_due();
        let cuts = self.cuts();
        self.is_full = cuts.iter().any(|cut| cut.is_full);
        for cut in &cuts {
            self.note(cut);
        }
        for silent in self.keeper.begin(cuts, heartbeat) {
            self.settle(&silent);
        }
        self.cycle = Stopwatch::start();
        if self.keeper.is_committing() {
            self.commit = spans::Commit::begin();
        }
    }

    /// Records that each partition may put into one transaction, so that all together keep to the
    /// budget.
    pub(super) fn share(&self) -> usize {
        self.budget.records() / self.keeper.lanes().count().max(1)
    }

    /// A cut of every partition, from every worker.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        let (reply, replies) = bounded(self.workers.len());
        for worker in self.workers {
            worker.tell(Job::Cut(reply.clone(), self.share()));
        }
        drop(reply);
        replies.iter().flatten().collect()
    }

    fn note(&mut self, cut: &Cut) {
        let due = || cut.events.iter().filter(|event| !event.change.closes());
        self.shared.metrics.steps_due(due().count());
        let oldest_due = due().map(|event| event.deadline.secs()).min();
        self.shared.status.update(cut.partition, |status| {
            status.frontier = cut.frontier.map(|frontier| frontier.secs());
            status.log_clock = cut.log_clock.map(|clock| clock.secs());
            status.stats = cut.stats.clone();
            status.policies = Some(cut.policies.clone());
            status.oldest_due = status.oldest_due.into_iter().chain(oldest_due).min();
        });
        if let Some(halt) = &cut.halt
            && self.keeper.lane(cut.partition).is_some_and(|lane| lane.is_live())
        {
            self.keeper.halt_at(cut.partition, cut.offset, halt.places_needed);
            if let Some(carried) = self.carried.get_mut(&cut.partition)
                && !halt.answers.is_empty()
            {
                carried.waits_for_an_answer = Some(Stopwatch::start());
                carried.is_held = true;
            }
            self.halted(cut.partition, halt.clone());
        }
    }

    /// Nothing that came out up to this cut is uncommitted.
    fn settle(&self, cut: &Cut) {
        let settled = cut.frontier.map(|frontier| frontier.secs());
        self.shared.status.update(cut.partition, |status| status.settled = settled);
    }

    /// Does the next action of the cycle.
    fn act(&mut self, action: Action) -> Result<(), ServiceError> {
        match action {
            Action::Send(partitions) => {
                match self.standing() {
                    Standing::Holds => {}
                    Standing::Waits => {
                        tracing::warn!("not a member of the group: the commit waits");
                        return Ok(());
                    }
                    Standing::Expelled => {
                        self.expelled();
                        return Ok(());
                    }
                }
                match self.hangs() {
                    None => return Ok(()),
                    Some(true) => {
                        self.keeper.sent(Sent::Indefinite);
                        return Ok(());
                    }
                    Some(false) => {}
                }
                if !self.is_of_this_topic() {
                    return Ok(());
                }
                if self.too_large && self.rebuild_what_is_too_large(&partitions) {
                    return Ok(());
                }
                match self.send(&partitions) {
                    Ok(sent) => {
                        self.count(sent);
                        self.keeper.sent(sent);
                    }
                    Err(hopeless) => self.stop_at(hopeless)?,
                }
            }
            Action::Abort => {
                let done = self.sink.abort();
                self.keeper.aborted(done);
            }
            Action::ReplaceProducer => match self.replace_producer() {
                Ok(()) => {
                    self.shared.status.set_producer_ready(true);
                    self.keeper.replaced();
                }
                Err(error) => {
                    self.shared.status.set_producer_ready(false);
                    let message = kafka::explain_as(
                        &self.shared.config.kafka,
                        &error,
                        "making a new producer",
                        Operation::Write,
                    );
                    tracing::warn!("{message}; trying again");
                }
            },
            Action::ReadCuts(partitions) => {
                if let Some(stored) = self.stored(&partitions) {
                    self.are_stored(&stored);
                    self.keeper.cuts_read(&stored);
                }
            }
            Action::Finish { .. } => {
                if let Some(finished) = self.keeper.finish() {
                    self.finish(finished);
                }
            }
        }
        Ok(())
    }

    fn replace_producer(&mut self) -> Result<(), KafkaError> {
        self.sink.replace()?;
        self.sink.end_what_hangs(&self.shared)
    }

    /// Whether what was committed before a connection was lost hangs: this producer's next transaction
    /// would decide it, whatever becomes of that. `None` when the broker did not say.
    fn hangs(&self) -> Option<bool> {
        if !self.sink.was_cut_off() || self.shared.guards.embedded {
            return Some(false);
        }
        match self.sink.hangs(&self.shared) {
            Ok(hangs) => {
                self.sink.is_whole();
                Some(hangs)
            }
            Err(error) => {
                let message = kafka::explain(&error, "looking for transactions without an end");
                tracing::warn!("{message}; the commit waits");
                None
            }
        }
    }

    /// What was too large for a transaction stays so: partitions that have more to say than their share
    /// is by now are rebuilt from what is durable, and say it in smaller parts. False: there are none.
    fn rebuild_what_is_too_large(&mut self, partitions: &[i32]) -> bool {
        self.too_large = false;
        let share = self.share();
        let contents = self.keeper.contents(partitions, &self.shared.source());
        let is_large = |cut: &Cut| records_of(cut) > share.max(FEW);
        let large: Vec<i32> = contents
            .iter()
            .filter(|(cut, _)| is_large(cut))
            .map(|(cut, _)| cut.partition)
            .collect();
        for &partition in &large {
            let why = "what it has to say was too much for one transaction and is said in parts";
            self.rebuild(partition, why);
        }
        !large.is_empty()
    }

    fn standing(&self) -> Standing {
        match self.shared.guards.embedded {
            true => Standing::Holds,
            false => self.keeper.standing(native::member_id(self.member).as_deref()),
        }
    }

    /// Whether the topic that there is now is the one of which everything is that is held, and has as
    /// many partitions; what is not is rebuilt. Asked behind the cut, so that no record is in it of a
    /// topic that was made anew.
    fn is_of_this_topic(&mut self) -> bool {
        if self.shared.guards.embedded {
            return true;
        }
        let now = match self.sink.identity() {
            Ok(Some(now)) => now,
            Ok(None) => return true,
            Err(error) => {
                let why = kafka::explain(&error, "asking which topic the input is");
                tracing::warn!("{why}: the commit waits");
                return false;
            }
        };
        let id = now.id.as_ref();
        let mut others: BTreeMap<i32, String> = BTreeMap::new();
        for (partition, then) in self.keeper.of_another_number(now.partitions) {
            let why = format!("the input topic has {} partitions, it had {then}", now.partitions);
            others.insert(partition, why);
        }
        for (partition, then) in id.map(|id| self.keeper.of_another_topic(id)).unwrap_or_default() {
            let now = id.map_or("", String::as_str);
            let why = format!("the input topic was made anew (topic id {now}, it was {then})");
            others.insert(partition, why);
        }
        for (partition, why) in &others {
            self.rebuild(*partition, why);
        }
        others.is_empty()
    }

    fn send(&mut self, partitions: &[i32]) -> Result<Sent, Hopeless> {
        self.sending = Stopwatch::start();
        let shared = &self.shared;
        let now_ms = shared.now_ms();
        let writer = Writer {
            codec: &shared.exceptions,
            input: &shared.input,
            exceptions: &shared.topics.exceptions,
            open: &shared.topics.open,
            dead_letter: &shared.topics.dead_letter,
            group_id: &shared.config.kafka.group_id,
            now_ms,
            max_bytes: shared.max_bytes,
        };
        let contents = self.keeper.contents(partitions, &shared.source());
        self.commit.attempt(contents.iter().map(|(cut, _)| *cut));
        let offsets: Vec<_> =
            contents.iter().map(|(cut, record)| Writer::offset(cut, record)).collect();
        let records = contents.iter().flat_map(|(cut, record)| writer.records(cut, record));
        let as_member = self.keeper.member().filter(|_| !shared.guards.embedded);
        self.sink.send(records, now_ms, &offsets, self.member, as_member)
    }

    /// Something no retry mends: the partition stops, or everything does.
    fn stop_at(&mut self, hopeless: Hopeless) -> Result<(), ServiceError> {
        let Some(partition) = hopeless.partition else {
            self.sink.abort();
            return Err(ServiceError::Broker(hopeless.message));
        };
        self.keeper.hopeless(partition);
        self.halted(partition, Halt::new(Other::NotWritten, hopeless.message));
        Ok(())
    }

    fn count(&mut self, sent: Sent) {
        let outcome = match sent {
            Sent::Committed => "committed",
            Sent::Abortable => "aborted",
            Sent::Indefinite => "indefinite",
        };
        self.commit.ended(outcome);
        let timeout = self.shared.config.kafka.transaction_timeout;
        let took = self.sending.elapsed();
        self.too_large = sent != Sent::Committed && budget::is_too_long(took, timeout);
        self.budget.took(took, timeout, sent == Sent::Committed);
        self.shared.metrics.transaction(outcome, self.cycle.elapsed().as_secs_f64());
    }

    /// The stored cuts; `None` when the broker did not say.
    fn stored(&self, partitions: &[i32]) -> Option<BTreeMap<i32, Option<Stored>>> {
        let mut stored = BTreeMap::new();
        for &partition in partitions {
            match read_stored(&self.shared, partition) {
                Ok(stamp) => drop(stored.insert(partition, stamp)),
                Err(error) => {
                    tracing::warn!(partition, "reading the stored cut: {error}");
                    return None;
                }
            }
        }
        Some(stored)
    }

    fn finish(&mut self, finished: Finished<DeadLetter>) {
        let now_ms = self.shared.now_ms();
        let tracking_numbers = self.shared.config.log.tracking_numbers;
        let mut commit = std::mem::replace(&mut self.commit, spans::Commit::none());
        commit.ended(if finished.committed.is_empty() { "given_up" } else { "committed" });
        self.look_for_others();
        for cut in finished.committed {
            self.is_stored(cut.partition);
            commit.closed(&cut, tracking_numbers);
            self.shared.metrics.committed(&cut.events, now_ms);
            self.shared.recent.committed(cut.partition, &cut.events, now_ms);
            self.settle(&cut);
            if let Some(last) = self.keeper.lane(cut.partition).and_then(Lane::last) {
                self.sink.memory.taken.insert(cut.partition, last.clone());
            }
            self.shared.status.update(cut.partition, |status| {
                status.committed = Some(cut.offset);
                status.oldest_due = None;
            });
        }
        for partition in finished.live {
            self.go_live(partition);
        }
        for partition in finished.given_up {
            self.rebuild(partition, "another instance has committed for it");
        }
    }
}

/// Records of a cut in a transaction, its cut record aside.
fn records_of(cut: &Cut) -> usize {
    RECORDS_PER_EVENT * cut.events.len() + cut.dead_letters.len()
}
