"""What must be published for a log of scans: the detection semantics, written down a second time.

Plain and slow, from the document alone: it shares no line, no table and no idea with the program that
it judges. Pure: it reads no clock, file or topic. A `Partition` is fed the records of one partition
in order of offset, with times in whole seconds; `events` is what must be published, in order.
What the semantics define and this does not know is refused by `Unsupported`: calendars.
"""

import heapq
import re
import tomllib
import uuid
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

IDENTITY = uuid.UUID("6f0c7d52-6f3a-5c1e-9b51-6d0f3d8f7a10")
SEVERITIES = ["notice", "warning", "critical"]
VOCABULARY = (
    "label_created tendered"
    " picked_up arrived departed in_transit handed_over customs_hold customs_cleared out_for_delivery"
    " delivery_attempted available_for_pickup returning"
    " on_hold exception lost delivered returned cancelled info"
).split()
REGISTERS, HOLDS = {"label_created", "tendered"}, {"on_hold", "exception", "lost"}
SETTLES, INFORMS = {"delivered", "returned", "cancelled"}, {"info"}
# Attributes by when they are taken: at every scan, or only from where the package is now.
KEPT = ("service", "destination_country", "shipper", "value_tier")
PLACE = ("facility", "country", "direction")

AWAITING, MOVING, SETTLED = "awaiting", "moving", "settled"
LADDER = {AWAITING: "first_scan", MOVING: "no_movement"}
KIND = {AWAITING: "missing_first_scan", MOVING: "no_movement"}


class Unsupported(Exception):
    """The semantics may have an answer, this reference has none."""


# --- policies ----------------------------------------------------------------------------------


class Step(NamedTuple):
    after: int
    severity: int
    name: str


class Policy(NamedTuple):
    id: str
    match: Optional[dict]
    ladders: dict


def duration(text):
    """Seconds of such as "48h"."""
    found = re.fullmatch(r"([0-9]+)([smhd])", text)
    if not found:
        raise Unsupported(f"the duration {text!r}")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def known(table, names, where):
    """Refuses what this does not know of."""
    if set(table) - set(names):
        raise Unsupported(f"{sorted(set(table) - set(names))} in {where}")
    return table


class Policies:
    """A file of policies."""

    def __init__(self, text):
        file = known(tomllib.loads(text), ["version", "defaults", "carriers", "policy"], "the file")
        if file["version"] != 1:
            raise Unsupported(f"version {file['version']}")
        names = ["forget_after", "settled_retention", "catch_up_grace", "feed_grace"]
        defaults = known(file.get("defaults", {}), names, "[defaults]")
        self.forget_after = duration(defaults.get("forget_after", "60d"))
        self.settled_retention = duration(defaults.get("settled_retention", "7d"))
        self.catch_up_grace = duration(defaults.get("catch_up_grace", "10m"))
        self.feed_grace = duration(defaults.get("feed_grace", "0s"))
        self.carriers = {}
        for name, settings in file.get("carriers", {}).items():
            settings = known(settings, ["feed_grace"], f"[carriers.{name}]")
            if "feed_grace" in settings:
                self.carriers[name.strip(" \t").lower()] = duration(settings["feed_grace"])
        self.list = [policy(table) for table in file["policy"]]
        if [one.id for one in self.list if one.match is None] != [self.list[-1].id]:
            raise Unsupported("a file that does not end with its one policy without match")

    def grace(self, carrier):
        return self.carriers.get(carrier, self.feed_grace)

    def of(self, package):
        """The first that matches the package as it is now."""
        return next(one for one in self.list if matches(one, package))


def policy(table):
    known(table, ["id", "match", "first_scan", "no_movement"], "a policy")
    match = table.get("match")
    if match is not None:
        conditions = [*KEPT, "direction", "carrier", "milestone"]
        match = dict(known(match, conditions, f"the match of {table['id']}"))
        if "carrier" in match:
            match["carrier"] = [name.strip(" \t").lower() for name in match["carrier"]]
    ladders = {name: [step(one) for one in table.get(name, [])] for name in LADDER.values()}
    return Policy(table["id"], match, ladders)


def step(table):
    known(table, ["after", "severity", "name"], "a step")
    severity = table["severity"]
    return Step(duration(table["after"]), SEVERITIES.index(severity), table.get("name") or severity)


def matches(policy, package):
    if policy.match is None:
        return True
    words = {**package.attributes, "carrier": package.carrier, "milestone": package.milestone}
    return all(words.get(name) in values for name, values in policy.match.items())


# --- scans and packages ------------------------------------------------------------------------


@dataclass
class Scan:
    """One scan in normal form; times in seconds, attributes without what is empty."""

    carrier: str
    number: str
    milestone: str
    log: int
    event: Optional[int] = None
    evidence: str = "physical"
    attributes: dict = field(default_factory=dict)
    position: dict = field(default_factory=dict)

    @property
    def effective(self):
        return self.log if self.event is None else min(self.event, self.log)

    @property
    def effect(self):
        """Of the milestone, after the rule of the evidence."""
        if self.evidence == "predicted" or self.milestone in INFORMS:
            return "informs"
        if self.milestone in REGISTERS:
            return "registers"
        if self.milestone in HOLDS:
            return "holds"
        if self.milestone in SETTLES:
            return "settles"
        return "moves" if self.evidence == "physical" else "informs"

    @property
    def starts_moving(self):
        """Whether a package that nobody saw before is on its way from here on."""
        return self.effect == "moves" or (self.effect == "holds" and self.evidence == "physical")


@dataclass
class Open:
    """An exception that has been opened and not closed."""

    id: str
    kind: str
    anchor: int
    set_at: int
    opened_deadline: int
    sequence: int = -1
    # Of its last event.
    severity: int = -1
    step: int = -1
    step_name: str = ""
    deadline: int = 0
    policy: str = ""
    second: int = 0


@dataclass
class Package:
    """What is known of a package; the anchor of one that is settled is settled_at."""

    carrier: str
    number: str
    phase: str = ""
    milestone: str = ""
    anchor: int = 0
    set_at: int = 0
    tendered: bool = False
    attributes: dict = field(default_factory=dict)
    open: Optional[Open] = None
    # That of its last change, so that old entries of the agendas are told from new ones.
    edition: int = 0

    def facts(self):
        return self.phase, self.milestone, self.anchor

    def enter(self, phase, milestone, anchor, clock):
        self.phase, self.milestone, self.anchor, self.set_at = phase, milestone, anchor, clock


class Due(NamedTuple):
    index: int
    step: Step
    policy: str
    deadline: int
    due: int


class Partition:
    """One partition: its clocks, its packages, and what must be published."""

    def __init__(self, policies):
        self.policies = policies
        self.clock = self.frontier = None
        self.packages = {}
        self.events = []
        # Agendas: heaps of (second, carrier, number, edition) of steps and of endings.
        self.steps, self.ends, self.editions = [], [], 0

    # --- the clocks ----------------------------------------------------------------------------

    def record(self, log, scan=None):
        """A record, with the scan in it unless it was rejected; the scan's outcome."""
        self.advance(clock=log, frontier=log)
        return self.apply(scan) if scan else None

    def advance(self, clock=None, frontier=None):
        """Moves the clocks, never back; what comes due as they enter a second happens."""
        steps = frontier if enters(self.frontier, frontier) else None
        ends = clock if enters(self.clock, clock) else None
        self.frontier = self.frontier if steps is None else steps
        self.clock = self.clock if ends is None else ends
        self.look(steps, ends)

    def finish(self, until):
        """The end of the log: the frontier alone goes to a second, and all that is due by then happens."""
        self.frontier = until if self.frontier is None else max(self.frontier, until)
        self.look(self.frontier, None)

    def look(self, steps, ends):
        while True:
            step, end = self.first(self.steps, steps), self.first(self.ends, ends)
            if step is None and end is None:
                return
            if end is None or (step is not None and step <= end):
                heapq.heappop(self.steps)
                package = self.packages[step[1:3]]
                self.make(package, self.due(package))
            else:
                heapq.heappop(self.ends)
                self.end(self.packages[end[1:3]])

    def first(self, heap, until):
        """The first entry up to a second that still counts; older ones are thrown away."""
        while until is not None and heap and heap[0][0] <= until:
            package = self.packages.get(heap[0][1:3])
            if package is not None and package.edition == heap[0][3]:
                return heap[0]
            heapq.heappop(heap)
        return None

    def hang_up(self, package):
        """Enters when a package is next to be looked at."""
        self.editions += 1
        package.edition = self.editions
        key = package.carrier, package.number, package.edition
        heapq.heappush(self.ends, (self.end_of(package), *key))
        due = self.due(package)
        if due is not None:
            heapq.heappush(self.steps, (self.second(package, due), *key))

    # --- steps and endings ---------------------------------------------------------------------

    def end_of(self, package):
        """The second in which it is forgotten, or remembered as settled no more."""
        if package.phase == SETTLED:
            return package.set_at + self.policies.settled_retention
        return package.anchor + self.policies.forget_after

    def due(self, package):
        """The step that is next, if there is one."""
        if package.phase == SETTLED:
            return None
        policy, exception = self.policies.of(package), package.open
        ladder, grace = policy.ladders[LADDER[package.phase]], self.policies.grace(package.carrier)
        anchor = exception.anchor if exception else package.anchor
        for index, step in enumerate(ladder):
            deadline = due = anchor + step.after + grace
            if exception is None:
                due = max(deadline, package.set_at + self.policies.catch_up_grace)
            elif step.severity <= exception.severity and deadline <= exception.deadline:
                continue
            never = due > self.end_of(package)
            return None if never else Due(index, step, policy.id, deadline, due)
        return None

    @staticmethod
    def second(package, due):
        """A step is never placed before the one that preceded it."""
        return max(due.due, package.open.second) if package.open else due.due

    def make(self, package, due):
        """A step happens."""
        second, change = self.second(package, due), "escalated"
        if package.open is None:
            package.open, change = self.opened(package, due), "opened"
        exception = package.open
        exception.severity = max(exception.severity, due.step.severity)
        exception.step, exception.step_name = due.index, due.step.name
        exception.deadline, exception.policy, exception.second = due.deadline, due.policy, second
        self.tell(package, change, due.deadline - exception.anchor)
        self.hang_up(package)

    @staticmethod
    def opened(package, due):
        kind = KIND[package.phase]
        name = (package.carrier, package.number, kind, str(package.anchor), str(package.set_at))
        identity = str(uuid.uuid5(IDENTITY, "|".join(name)))
        return Open(identity, kind, package.anchor, package.set_at, due.deadline)

    def end(self, package):
        """A package is forgotten, after its steps due by then."""
        while (due := self.due(package)) is not None:
            self.make(package, due)
        if package.open is not None:
            self.tell(package, "expired", self.policies.forget_after)
        del self.packages[package.carrier, package.number]

    def close(self, package, scan):
        """A scan ends the silence; the package is still as it was before the scan."""
        exception = package.open
        if exception is None:
            return
        in_time = scan.effective < exception.opened_deadline
        silent = max(0, scan.effective - exception.anchor)
        closed_by = {
            "milestone": scan.milestone,
            "event_time": scan.event,
            "effective_time": scan.effective,
            "log_time": scan.log,
            **scan.position,
        }
        closed_by = {name: value for name, value in closed_by.items() if value is not None}
        self.tell(package, "retracted" if in_time else "resolved", silent, closed_by)
        package.open = None

    def tell(self, package, change, silent, closed_by=None):
        exception, attributes = package.open, package.attributes
        exception.sequence += 1
        event = {
            "exception_id": exception.id,
            "sequence": exception.sequence,
            "change": change,
            "kind": exception.kind,
            "severity": SEVERITIES[exception.severity],
            "step": exception.step,
            "step_name": exception.step_name,
            "carrier": package.carrier,
            "tracking_number": package.number,
            "anchor_time": exception.anchor,
            "anchor_set_at": exception.set_at,
            "opened_deadline": exception.opened_deadline,
            "deadline": exception.deadline,
            "silent_for_s": silent,
            "last_milestone": package.milestone,
            "last_facility": attributes.get("facility"),
            "last_country": attributes.get("country"),
            **{name: attributes.get(name) for name in (*KEPT, "direction")},
            "policy_id": exception.policy,
            "closed_by": closed_by,
            "backfilled": False,
        }
        self.events.append({name: value for name, value in event.items() if value is not None})

    # --- scans ---------------------------------------------------------------------------------

    def apply(self, scan):
        """What a scan does to its package; its outcome."""
        package = self.packages.get((scan.carrier, scan.number))
        if package is None:
            return self.unknown(scan)
        before, anchor = package.facts(), package.anchor if package.phase == MOVING else None
        outcome = {AWAITING: self.awaiting, MOVING: self.moving, SETTLED: self.settled}[package.phase](package, scan)
        if outcome in ("too_old", "earlier_life", "after_settled"):
            return outcome
        changed = package.facts() != before
        new_life = self.packages[scan.carrier, scan.number] is not package
        if not new_life and (before[0] != SETTLED or changed):
            take(package, scan, anchor)
            self.hang_up(package)
        return outcome or ("applied" if changed or new_life else "confirmed")

    def unknown(self, scan):
        """A package that is not known, or begins a new life."""
        e, package = scan.effective, Package(scan.carrier, scan.number)
        if e + self.policies.settled_retention <= scan.log:
            return "too_old"
        if scan.starts_moving:
            package.enter(MOVING, scan.milestone, e, self.clock)
        elif scan.effect == "settles":
            package.enter(SETTLED, scan.milestone, e, self.clock)
        elif scan.effect in ("registers", "holds"):
            package.enter(AWAITING, scan.milestone, e, self.clock)
            package.tendered = scan.milestone == "tendered"
        elif scan.milestone not in REGISTERS | HOLDS | SETTLES | INFORMS:
            package.enter(AWAITING, "label_created", e, self.clock)
        else:
            return "ignored"
        take(package, scan, None)
        self.packages[scan.carrier, scan.number] = package
        self.hang_up(package)
        return "applied"

    def of_an_earlier_life(self, package, scan):
        old = scan.effective + self.policies.settled_retention <= package.anchor
        return old and scan.effect != "informs"

    def settle(self, package, scan):
        self.close(package, scan)
        package.enter(SETTLED, scan.milestone, max(scan.effective, package.anchor), self.clock)

    def awaiting(self, package, scan):
        e = scan.effective
        if self.of_an_earlier_life(package, scan):
            return "earlier_life"
        if scan.effect == "informs":
            return "informed"
        if scan.starts_moving:
            self.close(package, scan)
            package.enter(MOVING, scan.milestone, e, self.clock)
        elif scan.effect == "settles":
            self.settle(package, scan)
        elif scan.effect == "holds":
            package.milestone = scan.milestone
        elif scan.milestone == "tendered" and not package.tendered:
            package.tendered = True
            package.enter(AWAITING, "tendered", e, self.clock)
        elif scan.milestone == "tendered" or not package.tendered:
            package.anchor = min(package.anchor, e)
        return None

    def moving(self, package, scan):
        e = scan.effective
        if self.of_an_earlier_life(package, scan):
            return "earlier_life"
        if scan.effect == "informs":
            return "informed"
        if scan.effect == "registers":
            return None
        if scan.milestone in ("delivered", "returned"):
            self.settle(package, scan)
        elif e < package.anchor:
            return "stale"
        elif scan.effect != "moves":
            package.milestone = scan.milestone
        elif e == package.anchor:
            package.milestone = max(package.milestone, scan.milestone, key=VOCABULARY.index)
        else:
            self.close(package, scan)
            package.enter(MOVING, scan.milestone, e, self.clock)
        return None

    def settled(self, package, scan):
        effect, later = scan.effect, scan.effective > package.anchor
        after = {"cancelled": effect == "moves", "delivered": effect == "moves" and scan.milestone == "returning"}
        if effect == "registers" and later:
            return self.unknown(scan)
        if later and after.get(package.milestone):
            package.enter(MOVING, scan.milestone, scan.effective, self.clock)
        elif effect == "settles":
            if package.milestone == "cancelled" and scan.milestone != "cancelled":
                self.settle(package, scan)
        else:
            return "after_settled"
        return None


def enters(now, then):
    return then is not None and (now is None or then > now)


def take(package, scan, moving_since):
    """The attributes that a scan brings; `moving_since`: the anchor of a package that was moving."""
    names = list(KEPT)
    if scan.evidence != "predicted" and (moving_since is None or scan.effective >= moving_since):
        names += PLACE
    for name in names:
        if scan.attributes.get(name):
            package.attributes[name] = scan.attributes[name]
