//! The commit cycle against the broker, each request a step of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stallwatch::protocol::commit_cycle::{Action, Sent, Stored};
use stallwatch::protocol::keeper::Standing;
use stallwatch::wire::exception::open_key;

use super::engine::LOOK_AGAIN_MS;
use super::{Around, AtCut, Fault, Process};
use crate::world::broker::{Offsets, Open, Out, Refused};
use crate::world::oracle::{Digest, line};

/// Actions in one round; a cycle that needs more goes on in the next.
const ACTIONS: usize = 6;

/// A round of the commit cycle.
pub struct Cycle {
    actions_left: usize,
    /// What is given back once the round is over.
    revoking: Option<BTreeSet<i32>>,
    sending: Option<Sending>,
}

struct Sending {
    /// When the first record was handed over, on the monotonic clock.
    begun: i64,
    records: std::vec::IntoIter<(i32, Out)>,
    offsets: Option<Offsets>,
}

impl Process {
    /// Begins a commit if there is something to say, or goes on with the one under way.
    pub(super) fn begin_cycle(&mut self, revoking: Option<BTreeSet<i32>>, around: &mut Around<'_>) {
        self.last_commit_ms = around.now_ms;
        if self.keeper.standing(self.client.member().as_deref()) == Standing::Expelled {
            self.expelled(around);
            return;
        }
        if self.keeper.wants_cuts() {
            let heartbeat = self.heartbeat(around);
            let fresh = !self.keeper.is_committing();
            let mut cuts = Vec::new();
            for (&partition, held) in &mut self.held {
                let schedule = std::mem::take(self.schedules.entry(partition).or_default());
                let amid_look = held.packages().is_looking() || held.is_amid_record();
                let mut cut = held.cut(&self.policies, around.options.budget);
                // What a first start opens it opens with its cuts.
                let mut digest = Digest::of(held.packages());
                if let Some(halt) = &cut.halt
                    && self.keeper.lane(partition).is_some_and(|lane| lane.is_live())
                {
                    around
                        .tell
                        .say(around.now_ms, || format!("{partition} halts: {}", halt.message));
                    self.keeper.halt_at(partition, cut.offset, None);
                    let look_again = around.now_ms + LOOK_AGAIN_MS;
                    self.halted.insert(partition, (halt.message.clone(), look_again));
                }
                digest.log_clock = cut.log_clock.map(|clock| clock.secs());
                digest.frontier = cut.frontier.map(|frontier| frontier.secs());
                if fresh {
                    let has_cursor = cut.cursor.is_some();
                    let at_cut = AtCut { digest, schedule, amid_look, has_cursor };
                    self.at_cuts.insert(partition, at_cut);
                }
                if !around.rules.cut_names_its_policies {
                    cut.policies = self.policies.hash().clone();
                }
                cuts.push(cut);
            }
            for silent in self.keeper.begin(cuts, heartbeat) {
                if let Some(at_cut) = self.at_cuts.remove(&silent.partition) {
                    self.schedules.insert(silent.partition, at_cut.schedule);
                }
            }
        }
        self.cycle = Some(Cycle { actions_left: ACTIONS, revoking, sending: None });
    }

    pub(super) fn commit_step(&mut self, around: &mut Around<'_>) {
        let Some(mut cycle) = self.cycle.take() else { return };
        let action = self.keeper.next().cloned();
        let Some(action) = action.filter(|_| cycle.actions_left > 0) else {
            if let Some(partitions) = cycle.revoking.take() {
                self.give_back(&partitions);
            }
            return;
        };
        let done = match action {
            Action::Send(partitions) => self.send_step(&mut cycle, &partitions, around),
            Action::Abort => {
                let aborted = around.broker.abort((&self.name, self.producer)).is_ok();
                self.keeper.aborted(aborted);
                true
            }
            Action::ReplaceProducer => {
                self.producer = around.broker.init_producer(&self.name);
                self.keeper.replaced();
                true
            }
            Action::ReadCuts(partitions) => {
                if let Some(stored) = stored(&partitions, around) {
                    self.keeper.cuts_read(&stored);
                }
                true
            }
            Action::Finish { .. } => {
                self.finish(around);
                true
            }
        };
        cycle.actions_left -= usize::from(done);
        self.cycle = Some(cycle);
    }

    /// One request of an attempt to send; true when the attempt is over.
    fn send_step(
        &mut self,
        cycle: &mut Cycle,
        partitions: &[i32],
        around: &mut Around<'_>,
    ) -> bool {
        let Some(sending) = &mut cycle.sending else {
            match self.keeper.standing(self.client.member().as_deref()) {
                Standing::Holds => {}
                Standing::Waits => {
                    cycle.actions_left = 1;
                    return true;
                }
                Standing::Expelled => {
                    self.expelled(around);
                    return true;
                }
            }
            if !self.is_of_this_topic(around) {
                return true;
            }
            cycle.sending = Some(self.prepare(partitions, around));
            return false;
        };
        let producer = (self.name.as_str(), self.producer);
        let sent = if around.strikes(Fault::Abortable, 40) {
            for (partition, out) in sending.records.by_ref().take(3) {
                if around.strikes(Fault::LateProduce, 500) {
                    around.broker.delay(producer, partition, out);
                }
            }
            Some(Sent::Abortable)
        } else if sending.records.len() > 0 {
            let most = around.random.between(1, 4) as usize + sending.records.len() / 8;
            let mut refused = None;
            for (partition, out) in sending.records.by_ref().take(most) {
                let is_stamped = matches!(out, Out::Open(_));
                refused = around.broker.write(producer, partition, out, around.now_ms).err();
                if refused.is_some() {
                    break;
                }
                if is_stamped {
                    self.time.written(partition, sending.begun, around);
                }
            }
            refused.map(judge)
        } else if let Some(offsets) = sending.offsets.take() {
            let membership = match around.rules.fresh_membership {
                true => self.client.membership(),
                false => self.stale.clone(),
            };
            let now_ms = around.now_ms;
            let member = self.client.member();
            if self.keeper.standing(member.as_deref()) == Standing::Holds {
                around.broker.send_offsets(producer, &membership, offsets, now_ms).err().map(judge)
            } else {
                Some(Sent::Abortable)
            }
        } else {
            let (sent, later) = commit(producer, around);
            if later && around.strikes(Fault::Zombie, 400) {
                self.stand_still(around.now_ms + around.random.between(13_000, 40_000));
            }
            Some(sent)
        };
        let Some(sent) = sent else { return false };
        around.say(|| format!("{}: {sent:?}", self.owner));
        cycle.sending = None;
        self.keeper.sent(sent);
        true
    }

    /// Whether everything that is held is of the topic that there is now; what is not is rebuilt.
    fn is_of_this_topic(&mut self, around: &mut Around<'_>) -> bool {
        let others = self.keeper.of_another_topic(&around.broker.topic_id());
        for (partition, then) in &others {
            around.say(|| format!("{}: {partition} is of {then}", self.owner));
            self.rebuild(*partition, around);
        }
        others.is_empty()
    }

    fn prepare(&mut self, partitions: &[i32], around: &mut Around<'_>) -> Sending {
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        for (cut, record) in self.keeper.contents(partitions, &around.source()) {
            let partition = cut.partition;
            for row in &cut.rows {
                let entry = row.open.then(|| Arc::new(row.event.clone()));
                let key = open_key(&row.event);
                records.push((partition, Out::Open(Open::Entry { key, event: entry })));
            }
            for event in &cut.events {
                let event = Arc::new(event.clone());
                let key = open_key(&event);
                let entry = (!event.change.closes()).then(|| event.clone());
                records.push((partition, Out::Open(Open::Entry { key, event: entry })));
                records.push((partition, Out::Exception(event)));
            }
            for letter in &cut.dead_letters {
                records.push((partition, Out::Dead(letter.clone())));
            }
            if let Some(at_cut) = self.at_cuts.get(&partition) {
                let stamp = (record.owner.clone(), record.commit);
                around.oracle.sending(partition, stamp, at_cut.clone());
            }
            around.tell.say(around.now_ms, || {
                format!(
                    "{}: sends {partition} #{} at {} frontier {:?} cursor {:?}, events {:?}",
                    record.owner,
                    record.commit,
                    record.offset,
                    record.frontier,
                    record.cursor,
                    cut.events.iter().map(line).collect::<Vec<_>>()
                )
            });
            offsets.push((partition, record.offset, record.metadata()));
            records.push((partition, Out::Open(Open::Cut(Arc::new(record)))));
        }
        let begun = self.time.mono(around);
        Sending { begun, records: records.into_iter(), offsets: Some(offsets) }
    }

    fn finish(&mut self, around: &mut Around<'_>) {
        let Some(finished) = self.keeper.finish() else { return };
        for cut in &finished.committed {
            self.at_cuts.remove(&cut.partition);
            self.look_for_others(cut.partition, around);
        }
        let amid_look = finished.committed.iter().any(|cut| cut.cursor.is_some());
        if (amid_look || self.is_backfilling()) && around.strikes(Fault::CrashInCommit, 120) {
            around.say(|| format!("{} crashes amid a backfill or a look", self.owner));
            self.alive = false;
        }
        for partition in finished.given_up {
            around.say(|| format!("{}: {partition} is given up", self.owner));
            self.rebuild(partition, around);
        }
    }
}

/// What the broker's refusal means to a producer.
fn judge(refused: Refused) -> Sent {
    match refused {
        Refused::Fenced => Sent::Indefinite,
        Refused::NotThisGeneration => Sent::Abortable,
    }
}

/// How a commit ended, and whether it takes only later.
fn commit(producer: (&str, u32), around: &mut Around<'_>) -> (Sent, bool) {
    let now_ms = around.now_ms;
    if around.strikes(Fault::LostUnheard, 80) {
        return (Sent::Indefinite, false);
    }
    let later = around.strikes(Fault::TookLater, 80);
    let longest = around.random.pick(&[9_000, 40_000]);
    let delay_ms = if later { around.random.between(1, longest) } else { 0 };
    let sent = match around.broker.commit(producer, now_ms, delay_ms) {
        Err(refused) => judge(refused),
        Ok(()) if later || around.strikes(Fault::TookUnheard, 80) => Sent::Indefinite,
        Ok(()) => Sent::Committed,
    };
    (sent, later)
}

/// The stored cuts; `None` while a transaction is pending there.
fn stored(partitions: &[i32], around: &Around<'_>) -> Option<BTreeMap<i32, Option<Stored>>> {
    let mut stored = BTreeMap::new();
    for &partition in partitions {
        let open = &around.broker.of(partition).open;
        if around.rules.pending_waited_for && open.last_stable_offset() < open.high_watermark() {
            return None;
        }
        let cut = around.broker.read_open(partition).cut;
        let named = cut.map(|cut| Stored {
            owner: cut.owner.clone(),
            commit: cut.commit,
            offset: cut.offset,
        });
        stored.insert(partition, named);
    }
    Some(stored)
}
