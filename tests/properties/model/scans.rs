//! What a scan does to a package, in the words of the contract.

use std::sync::Arc;

use stallwatch::detector::exception::{Change, ClosedBy, ExceptionEvent, Severity};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Outcome, Scan};
use stallwatch::detector::time::EffectiveTime;

use super::{Id, Model, Package, Phase, id_of};

/// What a milestone does, before evidence is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Registers,
    Moves,
    Holds,
    Settles,
    Informs,
}

/// The vocabulary in its order.
const VOCABULARY: [(&str, Effect); 20] = [
    ("label_created", Effect::Registers),
    ("tendered", Effect::Registers),
    ("picked_up", Effect::Moves),
    ("arrived", Effect::Moves),
    ("departed", Effect::Moves),
    ("in_transit", Effect::Moves),
    ("handed_over", Effect::Moves),
    ("customs_hold", Effect::Moves),
    ("customs_cleared", Effect::Moves),
    ("out_for_delivery", Effect::Moves),
    ("delivery_attempted", Effect::Moves),
    ("available_for_pickup", Effect::Moves),
    ("returning", Effect::Moves),
    ("on_hold", Effect::Holds),
    ("exception", Effect::Holds),
    ("lost", Effect::Holds),
    ("delivered", Effect::Settles),
    ("returned", Effect::Settles),
    ("cancelled", Effect::Settles),
    ("info", Effect::Informs),
];

fn rank(milestone: Milestone) -> usize {
    VOCABULARY.iter().position(|(name, _)| *name == milestone.as_str()).expect("in the vocabulary")
}

fn nominal(milestone: Milestone) -> Effect {
    VOCABULARY[rank(milestone)].1
}

fn effect(scan: &Scan<'_>) -> Effect {
    match (scan.evidence, nominal(scan.milestone)) {
        (Evidence::Predicted, _) => Effect::Informs,
        (Evidence::System, Effect::Moves) => Effect::Informs,
        (_, effect) => effect,
    }
}

fn effective_time(scan: &Scan<'_>) -> i64 {
    let log = scan.log_time.secs();
    match scan.event_time {
        Some(event) if event.secs() < log => event.secs(),
        _ => log,
    }
}

/// What a scan did to a package that was awaited or moving.
struct Observed {
    outcome: Outcome,
    closes: bool,
}

impl Observed {
    fn closing() -> Self {
        Self { outcome: Outcome::Applied, closes: true }
    }

    fn quiet(outcome: Outcome) -> Self {
        Self { outcome, closes: false }
    }

    fn changed(changed: bool) -> Self {
        Self::quiet(if changed { Outcome::Applied } else { Outcome::Confirmed })
    }
}

impl Package {
    /// `placed`: facility, country and direction count as well.
    fn take_attributes(&mut self, scan: &Scan<'_>, placed: bool) {
        let take = |to: &mut Option<Arc<str>>, from: Option<&str>| {
            if let Some(text) = from
                && !text.is_empty()
            {
                *to = Some(text.into());
            }
        };
        let (mine, new) = (&mut self.attributes, &scan.attributes);
        take(&mut mine.service, new.service);
        take(&mut mine.destination_country, new.destination_country);
        take(&mut mine.shipper, new.shipper);
        take(&mut mine.value_tier, new.value_tier);
        if placed && scan.evidence != Evidence::Predicted {
            take(&mut mine.facility, new.facility);
            take(&mut mine.country, new.country);
            take(&mut mine.direction, new.direction);
        }
    }
}

impl Model<'_> {
    pub(super) fn observe(&mut self, scan: &Scan<'_>) -> Outcome {
        let id = id_of(&scan.key);
        match self.packages.get(&id).map(|package| package.phase) {
            None => self.observe_unknown(id, scan),
            Some(Phase::Settled) => self.observe_settled(id, scan),
            Some(_) => self.observe_known(id, scan),
        }
    }

    fn observe_unknown(&mut self, id: Id, scan: &Scan<'_>) -> Outcome {
        let e = effective_time(scan);
        if e + self.rules.defaults.settled_retention <= scan.log_time.secs() {
            return Outcome::TooOld;
        }
        let (phase, milestone) = match effect(scan) {
            Effect::Registers => (Phase::AwaitingFirstScan, scan.milestone),
            Effect::Moves => (Phase::Moving, scan.milestone),
            Effect::Holds if scan.evidence == Evidence::Physical => (Phase::Moving, scan.milestone),
            Effect::Holds => (Phase::AwaitingFirstScan, scan.milestone),
            Effect::Settles => (Phase::Settled, scan.milestone),
            Effect::Informs if nominal(scan.milestone) == Effect::Moves => {
                (Phase::AwaitingFirstScan, Milestone::LabelCreated)
            }
            Effect::Informs => return Outcome::Ignored,
        };
        let mut package = Package {
            key: scan.key.clone(),
            phase,
            milestone,
            tendered: milestone == Milestone::Tendered,
            anchor: e,
            set_at: self.now(),
            attributes: Attributes::default(),
            open: None,
        };
        package.take_attributes(scan, true);
        self.note(self.end_of(&package) <= self.now(), "to be forgotten as soon as it is known");
        self.packages.insert(id, package);
        Outcome::Applied
    }

    fn observe_settled(&mut self, id: Id, scan: &Scan<'_>) -> Outcome {
        let e = effective_time(scan);
        let now = self.now();
        let before = self.packages[&id].clone();
        let after_cancelled = before.milestone == Milestone::Cancelled;
        let after_delivered = before.milestone == Milestone::Delivered;
        let later = e > before.anchor;
        match effect(scan) {
            Effect::Registers if later => {
                let outcome = self.observe_unknown(id, scan);
                self.note(outcome == Outcome::Applied, "a new life");
                self.note(outcome == Outcome::TooOld, "a new life that is too old");
                outcome
            }
            Effect::Moves
                if later
                    && (after_cancelled
                        || after_delivered && scan.milestone == Milestone::Returning) =>
            {
                self.note(after_cancelled, "a return from cancelled");
                self.note(after_delivered, "a return from delivered");
                let package = self.packages.get_mut(&id).expect("known");
                package.phase = Phase::Moving;
                package.anchor = e;
                package.set_at = now;
                package.milestone = scan.milestone;
                package.take_attributes(scan, true);
                Outcome::Applied
            }
            Effect::Settles if after_cancelled && scan.milestone != Milestone::Cancelled => {
                self.note(true, "settled anew");
                let package = self.packages.get_mut(&id).expect("known");
                package.anchor = e.max(before.anchor);
                package.set_at = now;
                package.milestone = scan.milestone;
                package.take_attributes(scan, true);
                Outcome::Applied
            }
            Effect::Settles => Outcome::Confirmed,
            _ => Outcome::AfterSettled,
        }
    }

    fn observe_known(&mut self, id: Id, scan: &Scan<'_>) -> Outcome {
        let e = effective_time(scan);
        let before = self.packages[&id].clone();
        if effect(scan) != Effect::Informs
            && e + self.rules.defaults.settled_retention <= before.anchor
        {
            return Outcome::EarlierLife;
        }
        let mut after = before.clone();
        let observed = match before.phase {
            Phase::AwaitingFirstScan => self.observe_awaiting(&mut after, scan, e),
            _ => self.observe_moving(&mut after, scan, e),
        };
        after.take_attributes(scan, before.phase != Phase::Moving || e >= before.anchor);
        if observed.closes {
            after.open = None;
            self.close(&before, scan, e);
        }
        self.packages.insert(id, after);
        observed.outcome
    }

    fn observe_awaiting(&mut self, package: &mut Package, scan: &Scan<'_>, e: i64) -> Observed {
        let anchor = package.anchor;
        let open = package.open.is_some();
        match effect(scan) {
            Effect::Registers if scan.milestone == Milestone::LabelCreated => {
                if package.tendered {
                    return Observed::changed(false);
                }
                package.anchor = anchor.min(e);
                self.note(open && e < anchor, "an earlier label under an open exception");
                Observed::changed(e < anchor)
            }
            Effect::Registers if package.tendered => {
                package.anchor = anchor.min(e);
                Observed::changed(e < anchor)
            }
            Effect::Registers => {
                self.note(open, "the first tendered under an open exception");
                package.tendered = true;
                package.anchor = e;
                package.set_at = self.now();
                package.milestone = Milestone::Tendered;
                Observed::changed(true)
            }
            Effect::Moves => self.moved(package, scan, e),
            Effect::Holds if scan.evidence == Evidence::Physical => self.moved(package, scan, e),
            Effect::Holds => {
                let changed = package.milestone != scan.milestone;
                package.milestone = scan.milestone;
                Observed::changed(changed)
            }
            Effect::Settles => self.settled(package, scan, e),
            Effect::Informs => Observed::quiet(Outcome::Informed),
        }
    }

    fn observe_moving(&mut self, package: &mut Package, scan: &Scan<'_>, e: i64) -> Observed {
        let anchor = package.anchor;
        let before = package.milestone;
        match effect(scan) {
            Effect::Registers => Observed::changed(false),
            Effect::Informs => Observed::quiet(Outcome::Informed),
            Effect::Settles if scan.milestone != Milestone::Cancelled => {
                self.settled(package, scan, e)
            }
            _ if e < anchor => Observed::quiet(Outcome::Stale),
            Effect::Holds | Effect::Settles => {
                package.milestone = scan.milestone;
                Observed::changed(before != scan.milestone)
            }
            Effect::Moves if e > anchor => self.moved(package, scan, e),
            Effect::Moves => {
                if rank(scan.milestone) > rank(before) {
                    package.milestone = scan.milestone;
                }
                let hold = nominal(before) != Effect::Moves;
                self.note(hold, "a move in the second of the anchor of a held package");
                Observed::changed(before != package.milestone)
            }
        }
    }

    fn moved(&mut self, package: &mut Package, scan: &Scan<'_>, e: i64) -> Observed {
        package.phase = Phase::Moving;
        package.anchor = e;
        package.set_at = self.now();
        package.milestone = scan.milestone;
        Observed::closing()
    }

    fn settled(&mut self, package: &mut Package, scan: &Scan<'_>, e: i64) -> Observed {
        package.phase = Phase::Settled;
        self.note(e < package.anchor, "settled by a scan before the anchor");
        package.anchor = package.anchor.max(e);
        package.set_at = self.now();
        package.milestone = scan.milestone;
        Observed::closing()
    }

    /// `before`: the package as it was before the closing scan.
    fn close(&mut self, before: &Package, scan: &Scan<'_>, e: i64) {
        let Some(last) = before.open.clone() else { return };
        let in_time = e < last.opened_deadline.secs();
        self.note(e < last.anchor.secs(), "closed by a scan before the silence began");
        self.note(last.severity == Severity::Critical, "a critical exception is closed by a scan");
        self.events.push(ExceptionEvent {
            sequence: last.sequence + 1,
            change: if in_time { Change::Retracted } else { Change::Resolved },
            silent_for_s: (e - last.anchor.secs()).max(0),
            last_milestone: before.milestone,
            attributes: before.attributes.clone(),
            closed_by: Some(ClosedBy {
                milestone: scan.milestone,
                event_time: scan.event_time,
                effective_time: EffectiveTime::from_secs(e),
                log_time: scan.log_time,
                offset: scan.offset,
            }),
            ..last
        });
    }
}
