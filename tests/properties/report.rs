//! Runs a property over seeds. Where it fails: the seed, the smallest case that still fails, and
//! both sides at the first difference.

use std::cell::Cell;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::policy::{Match, Policy, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Record, Scan};

use crate::generate::{Case, Entry, Rules, generate};

/// How many cases a failing one may be compared with while it is made smaller.
const TRIES: usize = 20_000;

/// Where two sides part.
#[derive(Debug)]
pub struct Difference {
    /// The entry after which they differ; the log is printed up to it.
    pub at: usize,
    /// What was compared.
    pub what: String,
    /// A name and what it gave, of each side.
    pub sides: [(&'static str, String); 2],
}

pub type Verdict = Result<(), Difference>;

/// The seeds to run: `STALLWATCH_SEEDS=20000` is how many, `STALLWATCH_SEEDS=700..800` which.
pub fn seeds(default: u64) -> Range<u64> {
    let Ok(text) = std::env::var("STALLWATCH_SEEDS") else { return 0..default };
    let number = |text: &str| text.trim().parse::<u64>();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).and_then(|from| number(to).map(|to| from..to)),
        None => number(&text).map(|count| 0..count),
    };
    range.unwrap_or_else(|_| panic!("STALLWATCH_SEEDS={text}: neither a number nor FROM..TO"))
}

/// Panics with a report of the first seed for which the property does not hold.
pub fn holds(seeds: Range<u64>, property: fn(&Case) -> Verdict) {
    for seed in seeds {
        let case = generate(seed);
        assert!(case.rules.set().is_some(), "seed {seed}: the policies are no valid set");
        if let Err(difference) = guarded(property, &case) {
            let (case, difference) = shrink(case, difference, property);
            panic!("{}", report(&case, &difference));
        }
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A panic of either side is a difference like any other.
fn guarded(property: fn(&Case) -> Verdict, case: &Case) -> Verdict {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| property(case)));
    QUIET.set(false);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let found = format!("panic: {}", text.unwrap_or_default());
        let sides = [("expected", "no panic".to_owned()), ("found", found)];
        Err(Difference { at: case.entries.len(), what: "a panic".to_owned(), sides })
    })
}

// ---- shrinking

fn shrink(
    case: Case,
    difference: Difference,
    property: fn(&Case) -> Verdict,
) -> (Case, Difference) {
    let mut best = (case, difference);
    let mut tries = TRIES;
    let mut attempt = |best: &mut (Case, Difference), smaller: Case| {
        if tries == 0 || smaller.rules.set().is_none() {
            return false;
        }
        tries -= 1;
        let Err(difference) = guarded(property, &smaller) else { return false };
        *best = (smaller, difference);
        true
    };
    loop {
        let mut progress = false;
        let mut length = best.0.entries.len();
        while length > 0 {
            let mut from = 0;
            while from < best.0.entries.len() {
                let mut smaller = best.0.clone();
                let to = (from + length).min(smaller.entries.len());
                smaller.entries.drain(from..to);
                if attempt(&mut best, smaller) {
                    progress = true;
                } else {
                    from += length;
                }
            }
            length /= 2;
        }
        for edit in 0.. {
            let mut smaller = best.0.clone();
            match simplify(&mut smaller, edit) {
                Edit::Done => progress |= attempt(&mut best, smaller),
                Edit::Nothing => {}
                Edit::NoMore => break,
            }
        }
        if !progress {
            return best;
        }
    }
}

enum Edit {
    Done,
    Nothing,
    NoMore,
}

/// The edits that make a case simpler without making its log shorter, by number.
fn simplify(case: &mut Case, edit: usize) -> Edit {
    const OF_A_POLICY: usize = 16;
    const OF_A_SCAN: usize = 9;
    let policies = case.rules.policies.len() * OF_A_POLICY;
    let graces = case.rules.feed_grace.len();
    if edit < policies {
        let at = edit / OF_A_POLICY;
        return simplify_policy(&mut case.rules, at, edit % OF_A_POLICY);
    }
    let edit = edit - policies;
    if edit < graces {
        let carrier = case.rules.feed_grace.keys().nth(edit).cloned();
        carrier.map(|carrier| case.rules.feed_grace.remove(&carrier));
        return Edit::Done;
    }
    let edit = edit - graces;
    match case.entries.get_mut(edit / OF_A_SCAN) {
        Some(Entry::Record { record: Record::Scan(scan), .. }) => {
            simplify_scan(scan, edit % OF_A_SCAN)
        }
        Some(_) => Edit::Nothing,
        None => Edit::NoMore,
    }
}

fn simplify_policy(rules: &mut Rules, at: usize, edit: usize) -> Edit {
    if edit == 0 {
        if rules.policies[at].conditions.is_none() {
            return Edit::Nothing;
        }
        rules.policies.remove(at);
        return Edit::Done;
    }
    let Policy { conditions, first_scan, no_movement, .. } = &mut rules.policies[at];
    let unstep = |ladder: &mut Vec<Step>, step: usize| match step < ladder.len() {
        true => {
            ladder.remove(step);
            Edit::Done
        }
        false => Edit::Nothing,
    };
    fn drop<T>(condition: &mut Option<T>) -> Edit {
        condition.take().map_or(Edit::Nothing, |_| Edit::Done)
    }
    let mut nothing = Match::default();
    let conditions = conditions.as_mut().unwrap_or(&mut nothing);
    match edit {
        1..=4 => unstep(first_scan, edit - 1),
        5..=8 => unstep(no_movement, edit - 5),
        9 => drop(&mut conditions.carrier),
        10 => drop(&mut conditions.service),
        11 => drop(&mut conditions.direction),
        12 => drop(&mut conditions.destination_country),
        13 => drop(&mut conditions.shipper),
        14 => drop(&mut conditions.value_tier),
        _ => drop(&mut conditions.milestone),
    }
}

fn simplify_scan(scan: &mut Scan<'_>, edit: usize) -> Edit {
    let before = scan.clone();
    let attributes = &mut scan.attributes;
    match edit {
        0 => attributes.service = None,
        1 => attributes.direction = None,
        2 => attributes.destination_country = None,
        3 => attributes.shipper = None,
        4 => attributes.value_tier = None,
        5 => attributes.facility = None,
        6 => attributes.country = None,
        7 => scan.event_time = None,
        _ => scan.evidence = Evidence::Physical,
    }
    if *scan == before { Edit::Nothing } else { Edit::Done }
}

// ---- print

fn report(case: &Case, difference: &Difference) -> String {
    let Difference { at, what, sides } = difference;
    let mut text =
        format!("seed {} (run it alone: STALLWATCH_SEEDS={0}..{1})\n", case.seed, case.seed + 1);
    let _ = writeln!(text, "\nseconds are counted from {}\n{}", case.base, policies(&case.rules));
    let _ = writeln!(text, "the log up to the first difference:");
    for (number, entry) in case.entries.iter().enumerate().take(at + 1) {
        let _ = writeln!(text, "  {number:>3} {}", line(case.base, entry));
    }
    let _ = writeln!(text, "\n{what} differ:");
    for (name, side) in sides {
        let _ = writeln!(text, "--- {name}\n{side}");
    }
    text
}

fn policies(rules: &Rules) -> String {
    let mut text = format!("{:?}\nfeed_grace of carriers {:?}\n", rules.defaults, rules.feed_grace);
    for policy in &rules.policies {
        let steps = |ladder: &[Step]| {
            let step =
                |step: &Step| format!("{} s {} {}", step.after, step.severity.as_str(), step.name);
            ladder.iter().map(step).collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(text, "policy {}", policy.id);
        match &policy.conditions {
            Some(conditions) => writeln!(text, "  match {}", shown(&format!("{conditions:?}"))),
            None => writeln!(text, "  everything else"),
        }
        .expect("a string takes everything");
        let _ = writeln!(text, "  first_scan  [{}]", steps(&policy.first_scan));
        let _ = writeln!(text, "  no_movement [{}]", steps(&policy.no_movement));
    }
    text
}

/// A debug text without what is absent.
fn shown(debug: &str) -> String {
    let inner = debug.split_once('{').map_or(debug, |(_, rest)| rest.trim_end_matches('}'));
    let mut text = format!(" {}", inner.trim());
    for name in [
        "carrier",
        "service",
        "direction",
        "destination_country",
        "shipper",
        "value_tier",
        "milestone",
        "facility",
        "country",
    ] {
        text = text.replace(&format!(" {name}: None,"), "");
        text = text.replace(&format!(" {name}: None"), "");
    }
    text.trim().to_owned()
}

fn line(base: i64, entry: &Entry) -> String {
    match entry {
        Entry::Record { record: Record::Scan(scan), .. } => {
            let event = match scan.event_time {
                Some(event) => format!("{:+}", event.secs() - base),
                None => "none".to_owned(),
            };
            format!(
                "scan log {:+} event {event} {} {} ({}) offset {} {}",
                scan.log_time.secs() - base,
                scan.key,
                scan.milestone.as_str(),
                scan.evidence.as_str(),
                scan.offset,
                shown(&format!("{:?}", scan.attributes)),
            )
        }
        Entry::Record { record: Record::Rejected { log_time }, .. } => match log_time {
            Some(log_time) => format!("rejected record, log {:+}", log_time.secs() - base),
            None => "rejected record without a log time".to_owned(),
        },
        Entry::Advance(to) => format!("frontier to {:+}", to - base),
        Entry::Finish(None) => "finish".to_owned(),
        Entry::Finish(Some(until)) => format!("finish until {:+}", until - base),
    }
}

/// One event in one line, times counted from `base`.
pub fn event_line(base: i64, event: &ExceptionEvent) -> String {
    let texts = Attributes {
        service: event.attributes.service.as_deref(),
        direction: event.attributes.direction.as_deref(),
        destination_country: event.attributes.destination_country.as_deref(),
        shipper: event.attributes.shipper.as_deref(),
        value_tier: event.attributes.value_tier.as_deref(),
        facility: event.attributes.facility.as_deref(),
        country: event.attributes.country.as_deref(),
    };
    let mut line = format!(
        "{} {} {} {} step={} {} sequence={} anchor={:+} set_at={:+} opened_deadline={:+} \
         deadline={:+} silent={} last={} policy={} set={:.8} id={} [{}]",
        event.change.as_str(),
        event.kind.as_str(),
        event.key,
        event.severity.as_str(),
        event.step,
        event.step_name,
        event.sequence,
        event.anchor.secs() - base,
        event.anchor_set_at.secs() - base,
        event.opened_deadline.secs() - base,
        event.deadline.secs() - base,
        event.silent_for_s,
        event.last_milestone.as_str(),
        event.policy_id,
        event.policy_set,
        event.exception_id,
        shown(&format!("{texts:?}")),
    );
    if let Some(by) = &event.closed_by {
        let _ = write!(
            line,
            " closed by {} event={:?} effective={:+} log={:+} offset={}",
            by.milestone.as_str(),
            by.event_time.map(|event| event.secs() - base),
            by.effective_time.secs() - base,
            by.log_time.secs() - base,
            by.offset
        );
    }
    if event.backfilled {
        line.push_str(" backfilled");
    }
    line
}
