//! What is known of one package, and what a scan makes of it. Pure, and a function of the records
//! alone: no policy, no frontier and no open exception enters here.

use super::scan::{Effect, Evidence, Milestone, Outcome, Scan, vocabulary};
use super::time::{EffectiveTime, LogTime};

vocabulary! {
    /// Where a package stands.
    Phase {
        /// Announced; nobody has been seen to have it. Anchor: `registered_at`.
        AwaitingFirstScan = "awaiting_first_scan",
        /// On its way. Anchor: `last_movement_at`.
        Moving = "moving",
        /// The journey is over. Anchor: `settled_at`.
        Settled = "settled",
    }
}

/// What the records say of one package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Where it stands.
    pub phase: Phase,
    /// The milestone that policies and exceptions see.
    pub milestone: Milestone,
    /// Whether a `tendered` has been seen in this life.
    pub tendered: bool,
    /// The time silence is measured from.
    pub anchor: EffectiveTime,
    /// The log clock when the anchor was set; of a settled package, when it was settled.
    pub set_at: LogTime,
}

/// What a scan does to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Phase, milestone and anchor stay.
    Unchanged(Outcome),
    /// A package that was unknown, or whose number begins a new life.
    Born(Package),
    /// The package as it is from now on, and whether an open exception ends here.
    Changed {
        /// The package after the scan.
        package: Package,
        /// The scan ends the silence.
        closes: bool,
    },
}

/// Which attributes of a scan are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// None: the scan is ignored.
    Nothing,
    /// Service, destination, shipper and value tier.
    Texts,
    /// These, and facility, country and direction.
    TextsAndPlace,
}

impl Transition {
    /// The outcome that is counted.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unchanged(outcome) => *outcome,
            Self::Born(_) | Self::Changed { .. } => Outcome::Applied,
        }
    }

    /// Which attributes the scan brings, given the package as it was before.
    pub fn attributes_taken(&self, before: Option<&Package>, scan: &Scan<'_>) -> Taken {
        let settled = before.is_some_and(|package| package.phase == Phase::Settled);
        let ignored = match self {
            Self::Unchanged(outcome) => {
                settled
                    || matches!(outcome, Outcome::TooOld | Outcome::EarlierLife | Outcome::Ignored)
            }
            Self::Born(_) | Self::Changed { .. } => false,
        };
        let behind = before.is_some_and(|package| {
            package.phase == Phase::Moving && scan.effective_time() < package.anchor
        });
        match (ignored, behind || scan.evidence == Evidence::Predicted) {
            (true, _) => Taken::Nothing,
            (false, true) => Taken::Texts,
            (false, false) => Taken::TextsAndPlace,
        }
    }
}

/// One scan against one package: all that [`observe`] may look at.
struct Sight<'a> {
    scan: &'a Scan<'a>,
    effect: Effect,
    e: EffectiveTime,
    log_clock: LogTime,
    retention: i64,
}

/// What a scan makes of a package, known or not.
///
/// `log_clock` is the partition's, moved to this record already; `settled_retention` in seconds.
pub fn observe(
    known: Option<&Package>,
    scan: &Scan<'_>,
    log_clock: LogTime,
    settled_retention: i64,
) -> Transition {
    let sight = Sight {
        scan,
        effect: scan.effect(),
        e: scan.effective_time(),
        log_clock,
        retention: settled_retention,
    };
    match known {
        None => sight.of_unknown(),
        Some(package) if package.phase == Phase::Settled => sight.of_settled(package),
        Some(package) if sight.of_an_earlier_life(package) => {
            Transition::Unchanged(Outcome::EarlierLife)
        }
        Some(package) if package.phase == Phase::AwaitingFirstScan => sight.of_awaiting(package),
        Some(package) => sight.of_moving(package),
    }
}

impl Sight<'_> {
    fn fresh(&self, phase: Phase, milestone: Milestone) -> Package {
        Package {
            phase,
            milestone,
            tendered: milestone == Milestone::Tendered,
            anchor: self.e,
            set_at: self.log_clock,
        }
    }

    fn of_an_earlier_life(&self, package: &Package) -> bool {
        self.effect != Effect::Informs && self.e.secs() + self.retention <= package.anchor.secs()
    }

    fn of_unknown(&self) -> Transition {
        let m = self.scan.milestone;
        if self.e.secs() + self.retention <= self.scan.log_time.secs() {
            return Transition::Unchanged(Outcome::TooOld);
        }
        let physical = self.scan.evidence == Evidence::Physical;
        Transition::Born(match self.effect {
            Effect::Registers => self.fresh(Phase::AwaitingFirstScan, m),
            Effect::Moves => self.fresh(Phase::Moving, m),
            Effect::Holds if physical => self.fresh(Phase::Moving, m),
            Effect::Holds => self.fresh(Phase::AwaitingFirstScan, m),
            Effect::Settles => self.fresh(Phase::Settled, m),
            Effect::Informs if m.nominal_effect() == Effect::Moves => {
                self.fresh(Phase::AwaitingFirstScan, Milestone::LabelCreated)
            }
            Effect::Informs => return Transition::Unchanged(Outcome::Ignored),
        })
    }

    fn of_awaiting(&self, package: &Package) -> Transition {
        let m = self.scan.milestone;
        match self.effect {
            Effect::Registers if m == Milestone::Tendered && !package.tendered => {
                changed(package, self.fresh(Phase::AwaitingFirstScan, m), false)
            }
            Effect::Registers if m == Milestone::Tendered || !package.tendered => {
                let anchor = package.anchor.min(self.e);
                changed(package, Package { anchor, ..*package }, false)
            }
            Effect::Registers => Transition::Unchanged(Outcome::Confirmed),
            Effect::Informs => Transition::Unchanged(Outcome::Informed),
            Effect::Holds if self.scan.evidence != Evidence::Physical => {
                changed(package, Package { milestone: m, ..*package }, false)
            }
            Effect::Moves | Effect::Holds => changed(package, self.fresh(Phase::Moving, m), true),
            Effect::Settles => self.settle(package),
        }
    }

    fn of_moving(&self, package: &Package) -> Transition {
        let m = self.scan.milestone;
        let holds = self.effect == Effect::Holds || m == Milestone::Cancelled;
        match self.effect {
            Effect::Registers => Transition::Unchanged(Outcome::Confirmed),
            Effect::Informs => Transition::Unchanged(Outcome::Informed),
            Effect::Settles if !holds => self.settle(package),
            _ if self.e < package.anchor => Transition::Unchanged(Outcome::Stale),
            _ if holds => changed(package, Package { milestone: m, ..*package }, false),
            _ if self.e == package.anchor => {
                let milestone = package.milestone.max(m);
                changed(package, Package { milestone, ..*package }, false)
            }
            _ => changed(package, self.fresh(Phase::Moving, m), true),
        }
    }

    fn of_settled(&self, package: &Package) -> Transition {
        let m = self.scan.milestone;
        let cancelled = package.milestone == Milestone::Cancelled;
        let later = self.e > package.anchor;
        match self.effect {
            Effect::Registers if later => self.of_unknown(),
            Effect::Moves
                if later
                    && (cancelled
                        || (m == Milestone::Returning
                            && package.milestone == Milestone::Delivered)) =>
            {
                changed(package, self.fresh(Phase::Moving, m), false)
            }
            Effect::Settles if cancelled && m != Milestone::Cancelled => self.settle(package),
            Effect::Settles => Transition::Unchanged(Outcome::Confirmed),
            _ => Transition::Unchanged(Outcome::AfterSettled),
        }
    }

    fn settle(&self, package: &Package) -> Transition {
        let mut settled = self.fresh(Phase::Settled, self.scan.milestone);
        settled.anchor = settled.anchor.max(package.anchor);
        changed(package, settled, true)
    }
}

fn changed(before: &Package, package: Package, closes: bool) -> Transition {
    if *before == package {
        Transition::Unchanged(Outcome::Confirmed)
    } else {
        Transition::Changed { package, closes }
    }
}
