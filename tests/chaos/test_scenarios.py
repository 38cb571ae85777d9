"""The scenarios of tests/scenarios, played by the reference: two readings of the semantics must agree.

What their README describes, but for policies that are refused, and for the words behind `rejected:`.
"""

import re
import shlex
import unittest
from pathlib import Path

import payloads
from judge import reader
from reference import AWAITING, MOVING, SETTLED, Partition, Policies

HERE = Path(__file__).resolve().parents[1] / "scenarios"
PROJECT = HERE.parents[1]
# In which order a line tells of attributes.
TOLD = ("service", "direction", "destination_country", "shipper", "value_tier", "facility", "country")
VERBS = "policies scan json rejected frontier until finish show package count clocks".split()


def stanzas(text):
    """Steps and what they bring, of a file."""
    steps, brought, place = [], [], "steps"
    for line in [*text.splitlines(), ""]:
        says_something = line.strip() and not line.startswith("#")
        if place == "brings" and (not says_something or line.split()[0] in VERBS):
            yield steps, brought
            steps, brought, place = [], [], "steps"
        if line == "----":
            place = "brings"
        elif place == "brings":
            brought.append(line)
        elif place == "policies":
            steps[-1] += "\n" + line
        elif says_something:
            steps.append(line)
            place = "policies" if line == "policies" else "steps"


class Player:
    """Plays the steps of a file."""

    def __init__(self):
        self.last_second, self.shown, self.records = None, [], 0

    def play(self, line):
        verb, _, rest = line.partition(" ")
        if line.startswith("policies"):
            return self.policies(line)
        return getattr(self, verb)(rest)

    def policies(self, line):
        name, _, inline = line.partition("\n")
        name = name.partition(" ")[2]
        if name:
            inline = (PROJECT / name if name.startswith("deploy/") else HERE / "policies" / name).read_text("utf-8")
        self.__init__()
        self.partition = Partition(Policies(inline))
        return ["ok"]

    def scan(self, rest):
        lexer = shlex.shlex(rest, posix=True)
        lexer.whitespace_split, lexer.quotes, lexer.commenters = True, '"', ""
        log, *words = (word.replace("\\t", "\t") for word in lexer)
        fields = dict(zip(("carrier", "tracking_number", "milestone"), words))
        fields.update(word.split("=", 1) for word in words[3:])
        event = fields.pop("event", None)
        return self.record(log, {**fields, "event_time": None if event == "none" else event})

    def json(self, rest):
        log, _, payload = rest.partition(" ")
        return self.record(log, payload.encode())

    def rejected(self, rest):
        return [line for line in self.record(rest or "none", b"\xff") if line != "rejected"]

    def record(self, log, given):
        number, self.records = self.records, self.records + 1
        log = None if log == "none" else reader.seconds(log)
        if None not in (self.last_second, log) and log > self.last_second:
            return ["skipped"]
        if log is not None and not payloads.YEARS[0] <= log < payloads.YEARS[1]:
            return ["rejected"]
        try:
            fields = given if isinstance(given, dict) else payloads.Json().fields(given)
            scan = payloads.scan(fields, log, {"record": number})
            if log is None:
                scan.log = scan.event
            if scan.log is None:
                raise payloads.Rejected("no time at all")
            outcome = self.partition.record(scan.log, scan)
        except payloads.Rejected:
            outcome = "rejected"
            if log is not None:
                self.partition.record(log)
        return [*self.events(), outcome]

    def frontier(self, rest):
        self.partition.advance(frontier=reader.seconds(rest))
        return self.events()

    def until(self, rest):
        self.last_second = reader.seconds(rest)
        return []

    def finish(self, rest):
        until = reader.seconds(rest) if rest else self.last_second
        self.partition.finish(self.partition.frontier if until is None else until)
        return self.events()

    def show(self, rest):
        self.shown += rest.split()
        return []

    def package(self, rest):
        carrier, number = shlex.split(rest)
        found = self.partition.packages.get((carrier, number))
        if found is None:
            return ["unknown"]
        phase = "awaiting_first_scan" if found.phase == AWAITING else found.phase
        words = [phase, found.milestone, f"since={time(found.anchor)}", f"set_at={time(found.set_at)}"]
        if found.phase != SETTLED:
            words.append(f"policy={self.partition.policies.of(found).id}")
        if found.open:
            words.append("open=" + ("notice", "warning", "critical")[found.open.severity])
        return [" ".join(words + named(found.attributes))]

    def count(self, _):
        packages = self.partition.packages.values()
        phases = [one.phase for one in packages]
        words = [f"{phase}={phases.count(phase)}" for phase in (AWAITING, MOVING, SETTLED)]
        return [" ".join(words + [f"open={sum(one.open is not None for one in packages)}"])]

    def clocks(self, _):
        clock, frontier = self.partition.clock, self.partition.frontier
        return [f"log_clock={time(clock)} frontier={time(frontier)}"]

    def events(self):
        events, self.partition.events = self.partition.events, []
        return [self.line(event) for event in events]

    def line(self, event):
        change, closed_by = event["change"], event.get("closed_by", {})
        words = [change, event["kind"], event["carrier"], event["tracking_number"], event["severity"]]
        repeated = [f"step={event['step']}", quoted(event["step_name"])]
        deadline = [f"deadline={time(event['deadline'])}", f"policy={event['policy_id']}"]
        silent = f"silent={silence(event['silent_for_s'])}"
        if change in ("opened", "escalated"):
            words += [*repeated, silent, *deadline]
        else:
            words.append(silent)
            if closed_by:
                words.append(f"by={closed_by['milestone']}")
        for what in self.shown:
            words += self.more(what, event, closed_by, [*repeated, *deadline])
        return " ".join(words)

    @staticmethod
    def more(what, event, closed_by, repeated):
        if what == "repeated":
            return [] if event["change"] in ("opened", "escalated") else repeated
        if what == "attributes":
            places = {"facility": event.get("last_facility"), "country": event.get("last_country")}
            return named({**event, **places})
        if what == "closed_by":
            names = {"event_time": "event", "effective_time": "effective", "log_time": "logged"}
            times = [f"{to}={time(closed_by.get(name))}" for name, to in names.items()]
            return [*times, f"record={closed_by['record']}"] if closed_by else []
        names = {"id": "exception_id", "last": "last_milestone", "anchor": "anchor_time", "set_at": "anchor_set_at"}
        value = event[names.get(what, what)]
        return [f"{what}={time(value) if what in ('anchor', 'set_at', 'opened_deadline') else value}"]


def named(attributes):
    return [f"{name}={quoted(attributes[name])}" for name in TOLD if attributes.get(name)]


def quoted(text):
    return f'"{text}"' if " " in text else text


def time(second):
    return "none" if second is None else reader.rfc3339(second * 1000)


def silence(seconds):
    parts = (seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


class Scenarios(unittest.TestCase):
    def test_the_reference_brings_what_every_scenario_says(self):
        played = 0
        for file in sorted(HERE.glob("*.txt")):
            player = Player()
            for steps, brought in stanzas(file.read_text("utf-8")):
                if steps[0].startswith("policies") and brought[0] != "ok":
                    continue
                with self.subTest(f"{file.name}: {steps[0]}"):
                    found = [line for step in steps for line in player.play(step)]
                    self.assertEqual(found, [re.sub("^rejected: .*", "rejected", line) for line in brought])
                    played += 1
        self.assertGreater(played, 300)


if __name__ == "__main__":
    unittest.main()
