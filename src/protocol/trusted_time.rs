//! The brokers' clock, as far as their stamps prove it. Our own wall clock proves nothing.
//!
//! ```text
//!            sent            received              now            (our monotonic clock)
//!  ───────────┼─────────────────┼───────────────────┼────────►
//!             └── the broker reads B on its clock ──┘
//!
//!  at `now` its clock stands between  B + (now − received)  and  B + (now − sent)
//! ```
//!
//! A record of the `open` topic is stamped by its broker when it is appended, and the
//! acknowledgement bears the stamp B. The lower bound is **trusted time**: evidence goes by the least
//! of what the partitions' leaders said lately. A refusal goes by a stamp alone, never by a bound that
//! was carried on: while a machine stands still its monotonic clock may stand still too.
//!
//! Where the topic is stamped by nobody, our wall clock is all there is. A step of it against the
//! monotonic clock withdraws whatever would rest on it, until a minute has passed without one.
//!
//! All times are milliseconds: `_ms` on a wall clock since 1970 UTC, `mono` on our monotonic clock
//! since whenever.

use std::collections::BTreeMap;

use super::evidence::Hold;
use super::rules::Rules;

/// Key of a record of the `open` topic that is written for its stamp alone. No carrier is empty, so
/// no exception has it.
pub const TIME_KEY: &str = ":time";
/// How old the newest stamp may be.
const FRESH_MS: i64 = 30_000;
/// How long our wall clock must have gone evenly after a step.
const EVEN_MS: i64 = 60_000;

/// A stamp that a broker gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The broker's clock when it appended the record.
    pub broker_ms: i64,
    /// When the record was handed over, on our monotonic clock.
    pub sent: i64,
    /// When its acknowledgement came, on our monotonic clock.
    pub received: i64,
}

impl Stamp {
    fn lower(&self, mono: i64) -> i64 {
        self.broker_ms.saturating_add(mono - self.received)
    }

    fn upper(&self, mono: i64) -> i64 {
        self.broker_ms.saturating_add(mono - self.sent)
    }

    fn is_fresh(&self, mono: i64) -> bool {
        mono - self.received <= FRESH_MS
    }
}

/// A log time as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTimeRead {
    /// The log time in effect.
    pub time_ms: i64,
    /// Its broker set it.
    pub by_broker: bool,
    /// When it had been read, on our monotonic clock.
    pub read: i64,
}

/// What becomes of a record before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It is applied.
    Pass,
    /// Its log time lies further ahead of the brokers' clock, by a stamp of this time, than is
    /// allowed: it is refused for good.
    Refuse {
        /// The stamp.
        now_ms: i64,
    },
    /// It waits, and all behind it.
    Wait(Hold),
}

enum Judgement {
    Fine,
    Future(i64),
    Unknown,
}

/// Our wall clock, watched beside the monotonic one.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// Both clocks when they were last looked at.
    mono: i64,
    wall_ms: i64,
    /// When it last stepped, and where it would be without that.
    stepped: Option<(i64, i64)>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct TrustedTime {
    /// The last stamp by partition of the `open` topic: its leader's clock.
    stamps: BTreeMap<i32, Stamp>,
    /// The last acknowledgement bore no stamp.
    unstamped: bool,
    own: Option<Own>,
    rules: Rules,
}

impl TrustedTime {
    /// Knows nothing yet.
    pub fn under(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// A record of this partition of the `open` topic was acknowledged with a stamp.
    pub fn stamped(&mut self, partition: i32, stamp: Stamp) {
        self.unstamped = false;
        let newer = |last: &Stamp| last.sent <= stamp.sent;
        if self.stamps.get(&partition).is_none_or(newer) {
            self.stamps.insert(partition, stamp);
        }
        // A leader that is heard of no more says nothing of the present.
        self.stamps.retain(|_, old| old.is_fresh(stamp.received));
    }

    /// A record of the `open` topic was acknowledged without a stamp of its broker.
    pub fn acknowledged_without_stamp(&mut self) {
        self.unstamped = true;
        self.stamps.clear();
    }

    /// Our clocks as they stand. `margin_ms`: by how much the wall clock may drift unnoticed.
    pub fn own_clock(&mut self, mono: i64, wall_ms: i64, margin_ms: i64) {
        let before = self.own.replace(Own { mono, wall_ms, stepped: None });
        let Some(before) = before else { return };
        let expected = before.wall_ms.saturating_add(mono - before.mono);
        let stepped = match before.stepped {
            _ if wall_ms.abs_diff(expected) > margin_ms.unsigned_abs() => {
                // Of several steps the first tells where the clock was.
                let from = before.stepped.map_or(expected, |(at, from)| from + (mono - at));
                Some((mono, from))
            }
            Some((at, _)) if mono - at > EVEN_MS => None,
            stepped => stepped,
        };
        self.own = Some(Own { mono, wall_ms, stepped });
    }

    /// Whether our wall clock stands in for the brokers', whose stamps are not to be had.
    pub fn goes_by_own_clock(&self) -> bool {
        self.unstamped || !self.rules.time_by_stamps
    }

    /// The wall time that evidence may take for now.
    ///
    /// # Errors
    /// Why there is none.
    pub fn evidence(&self, mono: i64, margin_ms: i64) -> Result<i64, Hold> {
        if self.goes_by_own_clock() {
            let own = self.own.ok_or(Hold::NoTrustedTime)?;
            let stepped = own.stepped.is_some() && self.rules.steps_withdraw;
            return if stepped { Err(Hold::ClockStepped) } else { Ok(own.now(mono)) };
        }
        let least = self.least(mono).ok_or(Hold::NoTrustedTime)?;
        if self.brokers_disagree(mono, margin_ms) { Err(Hold::BrokersDisagree) } else { Ok(least) }
    }

    /// A log time up to which no record is refused, whenever it was read.
    pub fn plausible_up_to(&self, mono: i64, skew_ms: i64) -> Option<i64> {
        let now = match self.own {
            Some(own) if self.goes_by_own_clock() => own.least(mono),
            _ if self.goes_by_own_clock() => return None,
            _ => self.stamps.values().map(|stamp| stamp.lower(mono)).min()?,
        };
        Some(now.saturating_add(skew_ms))
    }

    /// What becomes of a record of this log time, which had been read at `read`. `by_broker`: its
    /// broker set the log time; then clocks disagree, and nobody is to blame for the record.
    pub fn guard(&self, log: LogTimeRead, mono: i64, skew_ms: i64) -> Guard {
        match self.judge(log.time_ms, log.read, mono, skew_ms) {
            Judgement::Fine => Guard::Pass,
            Judgement::Future(_) if log.by_broker => Guard::Wait(Hold::LogTimeAhead),
            Judgement::Future(now_ms) => Guard::Refuse { now_ms },
            Judgement::Unknown if self.goes_by_own_clock() => Guard::Wait(Hold::ClockStepped),
            Judgement::Unknown => Guard::Wait(Hold::NoTrustedTime),
        }
    }

    /// Judges a log time against the brokers' clock at some moment from `read` on, when the record
    /// had been read. Only a stamp of a record that was handed over since proves anything: before
    /// that, this machine may have stood still.
    fn judge(&self, log_ms: i64, read: i64, mono: i64, skew_ms: i64) -> Judgement {
        if self.plausible_up_to(mono, skew_ms).is_some_and(|most| log_ms <= most) {
            return Judgement::Fine;
        }
        match self.known_since(read, mono) {
            None => Judgement::Unknown,
            Some(now_ms) if log_ms > now_ms.saturating_add(skew_ms) => Judgement::Future(now_ms),
            Some(_) => Judgement::Fine,
        }
    }

    /// The brokers' clock at some moment from `since` on; `None` where a stamp is wanted of a record
    /// that is handed over from now on.
    pub fn known_since(&self, since: i64, mono: i64) -> Option<i64> {
        if self.goes_by_own_clock() {
            let steady = |own: &Own| own.stepped.is_none() || !self.rules.steps_withdraw;
            return self.own.filter(steady).map(|own| own.now(mono));
        }
        if !self.rules.refusals_by_stamps {
            return self.fresh(mono).map(|stamp| stamp.lower(mono)).max();
        }
        let stamps = self.stamps.values().filter(|stamp| stamp.sent >= since);
        stamps.map(|stamp| stamp.broker_ms).max()
    }

    /// How far our wall clock is ahead of trusted time.
    pub fn offset_ms(&self, mono: i64) -> Option<i64> {
        let own = self.own?;
        let least = (!self.goes_by_own_clock()).then(|| self.least(mono))??;
        Some(own.now(mono) - least)
    }

    fn fresh(&self, mono: i64) -> impl Iterator<Item = &Stamp> {
        self.stamps.values().filter(move |stamp| stamp.is_fresh(mono))
    }

    /// What every broker's clock is at least.
    fn least(&self, mono: i64) -> Option<i64> {
        self.fresh(mono).map(|stamp| stamp.lower(mono)).min()
    }

    /// Whether the clocks of two brokers are further apart than the margin, however long their
    /// acknowledgements were under way.
    fn brokers_disagree(&self, mono: i64, margin_ms: i64) -> bool {
        let ahead = self.fresh(mono).map(|stamp| stamp.lower(mono)).max();
        let behind = self.fresh(mono).map(|stamp| stamp.upper(mono)).min();
        ahead.zip(behind).is_some_and(|(ahead, behind)| ahead - behind > margin_ms)
    }
}

impl Own {
    fn now(&self, mono: i64) -> i64 {
        self.wall_ms.saturating_add(mono - self.mono)
    }

    /// The earlier of now and what it would be without the last step.
    fn least(&self, mono: i64) -> i64 {
        let without = self.stepped.map(|(at, from)| from.saturating_add(mono - at));
        without.map_or(self.now(mono), |without| without.min(self.now(mono)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: i64 = 2_000;
    const SKEW: i64 = 300_000;
    const HOUR: i64 = 3_600_000;

    fn stamp(broker_ms: i64, sent: i64, received: i64) -> Stamp {
        Stamp { broker_ms, sent, received }
    }

    fn by_stamps(stamps: &[(i32, Stamp)]) -> TrustedTime {
        let mut time = TrustedTime::under(Rules::ALL);
        stamps.iter().for_each(|&(partition, stamp)| time.stamped(partition, stamp));
        time
    }

    fn by_own_clock(wall_ms: &[(i64, i64)]) -> TrustedTime {
        let mut time = TrustedTime::under(Rules::ALL);
        time.acknowledged_without_stamp();
        wall_ms.iter().for_each(|&(mono, wall_ms)| time.own_clock(mono, wall_ms, MARGIN));
        time
    }

    fn guard(time: &TrustedTime, time_ms: i64, read: i64, mono: i64) -> Guard {
        time.guard(LogTimeRead { time_ms, by_broker: false, read }, mono, SKEW)
    }

    #[test]
    fn trusted_time_is_the_stamp_and_what_has_passed_since_its_acknowledgement() {
        let time = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        assert_eq!(time.evidence(150, MARGIN), Ok(1_000_100));
    }

    #[test]
    fn without_a_fresh_stamp_there_is_no_evidence() {
        let time = by_stamps(&[]);
        assert_eq!(time.evidence(0, MARGIN), Err(Hold::NoTrustedTime));
        let time = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        assert!(time.evidence(50 + FRESH_MS, MARGIN).is_ok());
        assert_eq!(time.evidence(51 + FRESH_MS, MARGIN), Err(Hold::NoTrustedTime));
    }

    #[test]
    fn our_own_clock_decides_nothing_while_brokers_stamp() {
        let mut time = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        time.own_clock(50, 1_000_000, MARGIN);
        time.own_clock(60, 1_000_000 + HOUR, MARGIN);
        assert_eq!(time.evidence(150, MARGIN), Ok(1_000_100));
        assert_eq!(time.offset_ms(150), Some(HOUR - 10));
    }

    #[test]
    fn evidence_takes_the_least_of_the_brokers_and_none_where_they_disagree() {
        let near = by_stamps(&[(0, stamp(1_000_000, 0, 0)), (1, stamp(1_001_500, 0, 0))]);
        assert_eq!(near.evidence(0, MARGIN), Ok(1_000_000));
        let apart = by_stamps(&[(0, stamp(1_000_000, 0, 0)), (1, stamp(1_002_500, 0, 0))]);
        assert_eq!(apart.evidence(0, MARGIN), Err(Hold::BrokersDisagree));
        let slow =
            by_stamps(&[(0, stamp(1_000_000, 0, 9_000)), (1, stamp(1_009_000, 8_900, 9_000))]);
        assert_eq!(slow.evidence(9_000, MARGIN), Ok(1_000_000), "its answer was long under way");
    }

    #[test]
    fn a_refusal_needs_the_stamp_of_a_record_that_was_handed_over_after_the_reading() {
        let ahead = 1_000_000 + SKEW + 1_000;
        let time = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        assert_eq!(guard(&time, 1_000_000 + SKEW, 60, 60), Guard::Pass);
        assert_eq!(
            guard(&time, ahead, 60, 60),
            Guard::Wait(Hold::NoTrustedTime),
            "we may have stood still"
        );
        let mut stood_still = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        stood_still.stamped(0, stamp(1_000_000 + HOUR, 70, 80));
        assert_eq!(guard(&stood_still, ahead, 60, 80), Guard::Pass);
        let mut went_on = by_stamps(&[(0, stamp(1_000_000, 40, 50))]);
        went_on.stamped(0, stamp(1_000_030, 70, 80));
        assert_eq!(guard(&went_on, ahead, 60, 80), Guard::Refuse { now_ms: 1_000_030 });
    }

    #[test]
    fn a_log_time_that_a_broker_set_is_no_reason_to_refuse_but_to_wait() {
        let time = by_stamps(&[(0, stamp(1_000_000, 70, 80))]);
        let ahead = LogTimeRead { time_ms: 1_000_000 + HOUR, by_broker: true, read: 60 };
        assert_eq!(time.guard(ahead, 80, SKEW), Guard::Wait(Hold::LogTimeAhead));
    }

    #[test]
    fn an_acknowledgement_that_comes_late_replaces_no_newer_one() {
        let newer = (0, stamp(1_000_500, 500, 510));
        let time = by_stamps(&[newer, (0, stamp(1_000_000, 40, 600))]);
        assert_eq!(time.known_since(500, 600), Some(1_000_500));
    }

    #[test]
    fn where_nobody_stamps_our_clock_stands_in_until_it_steps() {
        let time = by_own_clock(&[(0, 5_000), (1_000, 6_000)]);
        assert_eq!(time.evidence(1_500, MARGIN), Ok(6_500));
        assert_eq!(guard(&time, 6_000 + SKEW + 1, 900, 1_000), Guard::Refuse { now_ms: 6_000 });
        let stepped = by_own_clock(&[(0, 5_000), (1_000, 6_000 + HOUR), (4_000, 9_000)]);
        assert_eq!(stepped.evidence(4_000, MARGIN), Err(Hold::ClockStepped));
        assert_eq!(guard(&stepped, HOUR, 4_000, 4_000), Guard::Wait(Hold::ClockStepped));
        assert_eq!(guard(&stepped, 9_000 + SKEW, 4_000, 4_000), Guard::Pass);
        let mut even = stepped;
        even.own_clock(4_001 + EVEN_MS, 9_001 + EVEN_MS, MARGIN);
        assert_eq!(even.evidence(4_001 + EVEN_MS, MARGIN), Ok(9_001 + EVEN_MS));
    }

    #[test]
    fn a_clock_that_stepped_ahead_makes_no_future_record_plausible() {
        let stepped = by_own_clock(&[(0, 5_000), (1_000, 6_000 + HOUR)]);
        assert_eq!(stepped.plausible_up_to(1_000, SKEW), Some(6_000 + SKEW));
        let behind = by_own_clock(&[(0, 5_000 + HOUR), (1_000, 6_000)]);
        assert_eq!(guard(&behind, 6_000 + HOUR, 900, 1_000), Guard::Wait(Hold::ClockStepped));
    }
}
