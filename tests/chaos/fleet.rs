//! The instances: ended, frozen and started again, each as a supervisor would.

use std::time::{Duration, Instant};

use crate::service::{Service, Setup};

/// How long a partition's frontier may take to follow after the last fault.
pub const SETTLE: Duration = Duration::from_secs(120);

/// What became of an instance without a fault that would explain it.
pub enum Happened {
    /// It ended though nobody told it to.
    EndedByItself(String),
    /// It was told to end and could not commit all it had done.
    DidNotEndWell(String),
}

/// All instances of one group.
pub struct Fleet<'s> {
    setup: &'s Setup,
    members: Vec<Member>,
}

struct Member {
    name: String,
    state: State,
}

enum State {
    Running(Service),
    /// Stopped by SIGSTOP until then.
    Frozen(Service, Instant),
    /// Told to end; to be started again so long after it has.
    Ending(Service, Duration),
    /// Not there until then.
    Down(Instant),
}

impl<'s> Fleet<'s> {
    /// So many instances, all to be started.
    pub fn new(setup: &'s Setup, count: usize) -> Self {
        let member = |number| Member {
            name: format!("{}-{number}", setup.name),
            state: State::Down(Instant::now()),
        };
        Self { setup, members: (0..count).map(member).collect() }
    }

    /// Does what is due: wakes, starts, notices who ended. What happened.
    pub fn tend(&mut self) -> Vec<Happened> {
        let mut happened = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            let now = Instant::now();
            member.state = match std::mem::replace(&mut member.state, State::Down(now)) {
                State::Running(mut service) => match service.ended() {
                    None => State::Running(service),
                    Some(status) => {
                        let text = format!("instance {index} ended by itself: {status}");
                        happened.push(Happened::EndedByItself(text));
                        State::Down(now + Duration::from_secs(1))
                    }
                },
                State::Ending(mut service, away) => match service.ended() {
                    None => State::Ending(service, away),
                    Some(status) => {
                        if !status.success() {
                            let text = format!("instance {index} did not end well: {status}");
                            happened.push(Happened::DidNotEndWell(text));
                        }
                        State::Down(now + away)
                    }
                },
                State::Frozen(service, until) if now >= until => {
                    service.send("CONT");
                    State::Running(service)
                }
                State::Down(until) if now >= until => {
                    State::Running(self.setup.spawn_as(&member.name))
                }
                state => state,
            };
        }
        happened
    }

    /// Instances that run, frozen or not.
    pub fn present(&self) -> Vec<usize> {
        let there = |index: &usize| !matches!(self.members[*index].state, State::Down(_));
        (0..self.members.len()).filter(there).collect()
    }

    /// SIGKILL; it is started again after so long.
    pub fn kill(&mut self, index: usize, away: Duration) {
        if let Some(service) = self.take(index, away) {
            service.kill();
        }
    }

    /// SIGTERM; it is started again so long after it has ended.
    pub fn end(&mut self, index: usize, away: Duration) {
        if let Some(service) = self.take(index, away) {
            service.send("CONT");
            service.send("TERM");
            self.members[index].state = State::Ending(service, away);
        }
    }

    /// SIGSTOP for so long.
    pub fn freeze(&mut self, index: usize, length: Duration) {
        let down = State::Down(Instant::now());
        let member = &mut self.members[index];
        member.state = match std::mem::replace(&mut member.state, down) {
            State::Running(service) => {
                service.send("STOP");
                State::Frozen(service, Instant::now() + length)
            }
            state => state,
        };
    }

    /// Lets every instance run from now on.
    pub fn calm(&mut self) {
        let now = Instant::now();
        for member in &mut self.members {
            match &mut member.state {
                State::Running(_) => {}
                State::Ending(_, away) => *away = Duration::ZERO,
                State::Frozen(_, until) | State::Down(until) => *until = now,
            }
        }
    }

    /// The least frontier of all partitions, as far as instances tell.
    pub fn frontier(&self) -> i64 {
        let name = "stallwatch_frontier_timestamp_seconds";
        let metrics: Vec<_> = self.running().filter_map(Service::metrics).collect();
        let of = |partition: i32| {
            let label = [("partition", partition.to_string())];
            let told = metrics.iter().filter_map(|metrics| metrics.value(name, &label));
            told.fold(0.0, f64::max)
        };
        (0..self.setup.partitions).map(of).fold(f64::MAX, f64::min) as i64
    }

    /// The sum of a metric over all instances that run.
    pub fn sum(&self, metric: &str) -> f64 {
        self.running().filter_map(Service::metrics).map(|metrics| metrics.sum(metric)).sum()
    }

    /// Ends all in order; false when one did not end well.
    pub fn stop(mut self) -> bool {
        let ended: Vec<bool> = (0..self.members.len())
            .filter_map(|index| self.take(index, Duration::ZERO))
            .map(|mut service| {
                service.send("TERM");
                service.wait_exit().success()
            })
            .collect();
        ended.into_iter().all(|well| well)
    }

    fn running(&self) -> impl Iterator<Item = &Service> {
        self.members.iter().filter_map(|member| match &member.state {
            State::Running(service) => Some(service),
            _ => None,
        })
    }

    fn take(&mut self, index: usize, away: Duration) -> Option<Service> {
        let down = State::Down(Instant::now() + away);
        match std::mem::replace(&mut self.members[index].state, down) {
            State::Running(service) | State::Frozen(service, _) | State::Ending(service, _) => {
                Some(service)
            }
            State::Down(_) => None,
        }
    }
}
