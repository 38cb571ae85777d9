//! Partitions that are given to no member of the group. A static member that comes back in time is given
//! what it had, and nobody works anew out who gets what, so partitions that were added meanwhile are read
//! by nobody. Then one of the members leaves and joins again, and all are given out anew.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::Engine;
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, REQUEST};
use crate::service::native::describe;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(10);
/// How long what was given out anew is left alone.
const REST: Duration = Duration::from_secs(120);

/// How this member stands to partitions that nobody is given.
#[derive(Default)]
pub struct Unassigned {
    /// Since it was last looked.
    looked: Option<Stopwatch>,
    /// What was found last: between two steps of a rebalance some are given to nobody for a moment.
    found: Vec<i32>,
    /// Since this member has left the group, and has not asked for it again.
    leaving: Option<Stopwatch>,
    /// Since it last did.
    left: Option<Stopwatch>,
}

impl Engine<'_> {
    /// Has somebody look, and leaves where this is the member to do it.
    pub(super) fn look_for_unassigned(&mut self) {
        if self.unassigned.leaving.as_ref().is_some_and(|since| since.elapsed() > LOOK) {
            self.join_again();
        }
        while let Ok(partitions) = self.to_give_out.1.try_recv() {
            if self.unassigned.found == partitions && !partitions.is_empty() {
                self.leave_for(&partitions);
            }
            self.unassigned.found = partitions;
        }
        let state = &mut self.unassigned;
        let rests = state.left.as_ref().is_some_and(|since| since.elapsed() < REST);
        let looked = state.looked.as_ref().is_some_and(|since| since.elapsed() < LOOK);
        if self.shared.guards.embedded || self.joined.is_none() || rests || looked {
            return;
        }
        state.looked = Some(Stopwatch::start());
        let (shared, found) = (Arc::clone(&self.shared), self.to_give_out.0.clone());
        let look = move || {
            let _ = found.send(ours_to_give_out(&shared).unwrap_or_default());
        };
        // Where there is no thread to be had now, there is one later.
        let _ = std::thread::Builder::new().name("unassigned".to_owned()).spawn(look);
    }

    fn leave_for(&mut self, partitions: &[i32]) {
        if self.unassigned.leaving.is_some() || self.keeper.lanes().next().is_none() {
            return;
        }
        tracing::warn!(
            ?partitions,
            "partitions are given to no member of the group, as after some were added while a member was away for a moment: this one leaves the group and joins again, so that all are given out anew"
        );
        self.unassigned.leaving = Some(Stopwatch::start());
        self.unassigned.left = Some(Stopwatch::start());
        self.member.unsubscribe();
    }

    /// What was held is given back: the group is asked for again.
    pub(super) fn join_again(&mut self) {
        if self.unassigned.leaving.take().is_some()
            && let Err(error) = self.member.subscribe(&[&self.shared.input])
        {
            self.lost = Some(kafka::explain(&error, "joining the group again"));
        }
    }
}

/// Partitions that nobody is given, where this is the first of the members that are given some.
fn ours_to_give_out(shared: &Shared) -> Option<Vec<i32>> {
    let client = kafka::asker(&shared.config.kafka).ok()?;
    let group = &shared.config.kafka.group_id;
    let group = describe::group(client.client(), group, REQUEST).ok()?;
    let count = |topic| kafka::partition_count(&client, topic).ok();
    // Where the open topic has fewer, there is nothing to be done with more.
    let partitions = count(&shared.input)?.min(count(&shared.topics.open)?);
    let found = group.given_to_nobody(&shared.input, i32::try_from(partitions).ok()?);
    let some = group.members.iter().filter(|member| !member.partitions.is_empty());
    let first = some.filter_map(|member| member.instance.as_ref()).min()?;
    (*first == shared.config.kafka.instance_id).then_some(found)
}
