"""The reference on small logs worked out by hand from the semantics, and that the judge misses nothing."""

import copy
import io
import json
import types
import unittest
from datetime import datetime, timezone

import fastavro
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

import judge
import payloads
from judge import reader
from reference import Partition, Policies, Scan, Unsupported

START, MINUTE, HOUR, DAY = 1_772_438_400, 60, 3600, 86400  # 2026-03-02T08:00:00Z
POLICIES = """
version = 1
[defaults]
forget_after = "10d"
settled_retention = "3d"
[carriers.DHL]
feed_grace = "6h"
[[policy]]
id = "held"
match = { milestone = ["on_hold"] }
no_movement = [ { after = "1h", severity = "critical", name = "held" } ]
[[policy]]
id = "express"
match = { service = ["air", "express"], destination_country = ["US"] }
first_scan = [ { after = "2h", severity = "notice" } ]
[[policy]]
id = "everything-else"
first_scan = [ { after = "24h", severity = "warning" }, { after = "72h", severity = "critical" } ]
no_movement = [
    { after = "48h", severity = "warning", name = "stalled" },
    { after = "7d", severity = "critical", name = "presumed_lost" },
]
"""


class Log:
    """One partition, with times in seconds behind the start."""

    def __init__(self):
        self.partition = Partition(Policies(POLICIES))

    def scan(self, at, milestone, number="1ZA", carrier="ups", event=None, evidence="physical", **attributes):
        log, event = START + at, None if event is None else START + event
        scan = Scan(carrier, number, milestone, log, event, evidence, attributes)
        return self.partition.record(log, scan)

    def rejected(self, at):
        self.partition.record(START + at)

    def until(self, at):
        self.partition.finish(START + at)

    def told(self):
        """Change, severity, step, deadline behind the start, silence; the list begins anew."""
        events, self.partition.events[:] = list(self.partition.events), []
        return [
            (one["change"], one["severity"], one["step_name"], one["deadline"] - START, one["silent_for_s"])
            for one in events
        ]


class Reference(unittest.TestCase):
    def test_a_package_that_goes_quiet_at_a_hub_is_reported_once_escalates_and_the_next_scan_ends_it(self):
        log = Log()
        self.assertEqual(log.scan(0, "arrived", facility="MEM"), "applied")
        log.rejected(48 * HOUR - 1)
        self.assertEqual(log.told(), [])
        log.rejected(48 * HOUR)
        self.assertEqual(log.told(), [("opened", "warning", "stalled", 48 * HOUR, 48 * HOUR)])
        log.scan(73 * HOUR, "departed", event=73 * HOUR - 5 * MINUTE)
        closing = log.partition.events[0]
        self.assertEqual(log.told(), [("resolved", "warning", "stalled", 48 * HOUR, 73 * HOUR - 5 * MINUTE)])
        self.assertEqual((closing["last_milestone"], closing["last_facility"]), ("arrived", "MEM"))
        self.assertEqual(closing["closed_by"]["milestone"], "departed")

    def test_a_scan_in_the_very_second_of_a_deadline_comes_too_late_and_opens_nothing_itself(self):
        log = Log()
        log.scan(0, "arrived")
        log.scan(48 * HOUR, "departed")
        self.assertEqual([one[0] for one in log.told()], ["opened", "resolved"])
        # What a late scan makes overdue opens when the frontier next enters a second, behind the grace.
        log.scan(49 * HOUR, "departed", number="1ZB", event=0)
        log.rejected(49 * HOUR)
        self.assertEqual(log.told(), [])
        log.rejected(49 * HOUR + 10 * MINUTE - 1)
        self.assertEqual(log.told(), [])
        log.rejected(49 * HOUR + 10 * MINUTE)
        self.assertEqual(log.told(), [("opened", "warning", "stalled", 48 * HOUR, 48 * HOUR)])

    def test_a_move_from_before_the_deadline_that_opened_reported_retracts(self):
        log = Log()
        log.scan(0, "arrived")
        log.rejected(48 * HOUR)
        log.scan(50 * HOUR, "departed", event=48 * HOUR - 1)
        self.assertEqual([one[0] for one in log.told()], ["opened", "retracted"])

    def test_an_exception_expires_when_its_package_is_forgotten_by_the_log_clock(self):
        log = Log()
        log.scan(0, "arrived")
        log.until(30 * DAY)
        self.assertEqual([one[0] for one in log.told()], ["opened", "escalated"])
        log = Log()
        log.scan(0, "arrived")
        log.rejected(30 * DAY)
        self.assertEqual(log.told()[2], ("expired", "critical", "presumed_lost", 7 * DAY, 10 * DAY))
        self.assertEqual(log.partition.packages, {})

    def test_system_and_predicted_movement_silences_nothing(self):
        log = Log()
        log.scan(0, "arrived")
        self.assertEqual(log.scan(HOUR, "departed", evidence="predicted"), "informed")
        self.assertEqual(log.scan(HOUR, "departed", evidence="system"), "informed")
        self.assertEqual(log.scan(HOUR, "cancelled"), "applied")
        log.rejected(48 * HOUR)
        self.assertEqual([one[0] for one in log.told()], ["opened"])

    def test_a_label_sent_again_buys_no_time_and_the_first_hand_over_counts(self):
        log = Log()
        log.scan(0, "label_created")
        self.assertEqual(log.scan(HOUR, "label_created"), "confirmed")
        self.assertEqual(log.scan(2 * HOUR, "tendered"), "applied")
        log.rejected(26 * HOUR - 1)
        self.assertEqual(log.told(), [])
        log.rejected(26 * HOUR)
        self.assertEqual(log.told(), [("opened", "warning", "warning", 26 * HOUR, 24 * HOUR)])

    def test_a_hold_changes_the_ladder_and_a_severer_step_is_next_though_its_deadline_is_past(self):
        log = Log()
        log.scan(0, "arrived")
        log.rejected(48 * HOUR)
        log.scan(50 * HOUR, "on_hold")
        log.rejected(50 * HOUR + 1)
        self.assertEqual(log.told()[1:], [("escalated", "critical", "held", HOUR, HOUR)])
        log.rejected(9 * DAY)
        self.assertEqual(log.told(), [])

    def test_the_first_policy_whose_conditions_all_hold_is_in_force_and_an_empty_ladder_is_never(self):
        log = Log()
        log.scan(0, "label_created", service="air", destination_country="US")
        log.scan(0, "label_created", number="1ZB", service="air")
        log.rejected(2 * HOUR)
        self.assertEqual(log.told(), [("opened", "notice", "notice", 2 * HOUR, 2 * HOUR)])
        log.scan(3 * HOUR, "picked_up")
        log.rejected(9 * DAY)
        self.assertEqual(len(log.told()), 3, "resolved; the other package opened and escalated")

    def test_the_grace_of_a_carrier_counts_as_silence(self):
        log = Log()
        log.scan(0, "arrived", carrier="dhl")
        log.rejected(54 * HOUR)
        self.assertEqual(log.told(), [("opened", "warning", "stalled", 54 * HOUR, 54 * HOUR)])

    def test_a_settled_package_is_remembered_for_its_retention_and_comes_back_only_as_it_may(self):
        log = Log()
        log.scan(0, "delivered")
        self.assertEqual(log.scan(HOUR, "arrived"), "after_settled")
        self.assertEqual(log.scan(HOUR, "cancelled"), "confirmed")
        self.assertEqual(log.scan(HOUR, "label_created", event=0), "after_settled")
        self.assertEqual(log.scan(2 * HOUR, "returning"), "applied")
        self.assertEqual(log.scan(3 * HOUR, "returned"), "applied")
        self.assertEqual(log.scan(4 * HOUR, "label_created"), "applied")
        self.assertEqual(log.scan(5 * HOUR, "delivered"), "applied")
        log.rejected(5 * HOUR + 3 * DAY - 1)
        self.assertEqual(len(log.partition.packages), 1)
        log.rejected(5 * HOUR + 3 * DAY)
        self.assertEqual(log.partition.packages, {})
        self.assertEqual(log.scan(4 * DAY, "arrived", event=DAY), "too_old")
        self.assertEqual(log.scan(4 * DAY, "arrived", event=DAY + 1), "applied")
        self.assertEqual(log.scan(4 * DAY, "on_hold", event=1 - 2 * DAY), "earlier_life")
        self.assertEqual(log.scan(4 * DAY, "on_hold", event=2 - 2 * DAY), "stale")

    def test_an_identity_is_that_of_package_kind_anchor_and_clock(self):
        log = Log()
        log.scan(0, "label_created")
        log.rejected(24 * HOUR)
        self.assertEqual(log.partition.events[0]["exception_id"], "bba2b63f-0142-5891-bf34-e08dae3b8b0c")

    def test_what_it_does_not_know_is_refused(self):
        for more in ("[calendars.us]", "[[policy]]\nid = \"a\"\nclock = \"us\"", "[defaults]\nnew = \"1h\""):
            with self.assertRaises(Unsupported):
                Policies("version = 1\n" + more + "\n[[policy]]\nid = \"else\"")


def fields(**more):
    return {"tracking_number": "1za", "carrier": "ups", "milestone": "arrived", **more}


class Payloads(unittest.TestCase):
    def test_a_scan_is_read_in_normal_form(self):
        scan = payloads.scan(
            fields(tracking_number="1z 9-9", carrier=" UPS\t", milestone="Out-for delivery", service=""), START, {}
        )
        found = scan.carrier, scan.number, scan.milestone, scan.evidence, scan.effective, scan.attributes
        self.assertEqual(found, ("ups", "1Z99", "out_for_delivery", "physical", START, {}))
        self.assertEqual(payloads.scan(fields(milestone="weighed", evidence="hearsay"), START, {}).effect, "informs")

    def test_the_routing_code_of_usps_is_cut(self):
        long = "9400111899223197428490"
        for number in (long, "42012345" + long, "420123456789" + long):
            self.assertEqual(payloads.number_of(number, "usps"), long)
            self.assertEqual(payloads.number_of(number, "ups"), number)

    def test_times_are_read_to_the_second_and_stand_ins_are_none(self):
        texts = "2026-03-02T08:00:00.9Z", "2026-03-02T10:30:00+02:30"
        self.assertEqual([payloads.event_second(text) for text in texts], [START, START])
        self.assertEqual(payloads.event_second(START * 1000 + 999), START)
        for nothing in (None, 0, "1970-01-01T00:00:00+05:00", "9999-12-31T12:00:00Z", "0001-01-01T00:00:00Z"):
            self.assertIsNone(payloads.event_second(nothing), nothing)

        self.assertEqual(payloads.event_second("2026-03-03T07:59:00+23:59"), START)
        for rejected in ("2026-03-03T08:00:00+24:00", "2026-03-03T08:00:00+00:60", "2026-02-30T08:00:00Z", "soon"):
            with self.assertRaises(payloads.Rejected):
                payloads.event_second(rejected)
        # Midnight of the first of January 2000 somewhere, or a time like any other.
        for unsure in (946_684_800_000 + HOUR * 1000, 946_684_800_000 + DAY * 1000, 1.5e12, "2026-06-30T23:59:60Z"):
            with self.assertRaises(Unsupported):
                payloads.event_second(unsure)

    def test_single_objects_of_our_schema_are_read_under_both_of_its_fingerprints(self):
        reads = payloads.Avro()
        schema, body = fastavro.schema.load_schema(str(payloads.SCHEMA)), io.BytesIO()
        at = datetime.fromtimestamp(START, timezone.utc)
        fastavro.schemaless_writer(body, schema, fields(event_time=at, service="air", attributes={"lane": "7"}))
        self.assertEqual(len(reads.prints), 2)
        for fingerprint in reads.prints:
            found = payloads.scan(reads.fields(b"\xc3\x01" + fingerprint + body.getvalue()), START + 1, {})
            told = found.number, found.milestone, found.evidence, found.event, found.attributes["service"]
            self.assertEqual(told, ("1ZA", "arrived", "physical", START, "air"))
            with self.assertRaises(payloads.Rejected):
                reads.fields(b"\xc3\x01" + fingerprint + body.getvalue()[:-1])
            with self.assertRaises(payloads.Rejected):
                reads.fields(b"\xc3\x01" + fingerprint[:-1])
            with self.assertRaises(payloads.Rejected):
                reads.fields(b"\xc3\x02" + fingerprint + body.getvalue())
            with self.assertRaises(Unsupported):
                reads.fields(b"\xc3\x01" + fingerprint + body.getvalue() + b"\x00")
        with self.assertRaises(Unsupported):
            reads.fields(b"\xc3\x01" + bytes(8) + body.getvalue())

    def test_what_is_no_scan_is_rejected(self):
        wrong = [
            fields(carrier=""),
            fields(tracking_number="é"),
            fields(tracking_number=7),
            fields(milestone=""),
            fields(shipper="x" * 257),
            fields(attributes=[]),
            fields(event_time="2026-03-02T08:00:00"),
            fields(event_time=START),
            fields(event_time=True),
        ]
        for one in wrong:
            with self.assertRaises(payloads.Rejected, msg=str(one)):
                payloads.scan(one, START, {})
        for payload in (b"\xffpoison", b"[]", b""):
            with self.assertRaises(payloads.Rejected):
                payloads.Json().fields(payload)
            with self.assertRaises(payloads.Rejected):
                payloads.Avro().fields(payload)


def record(offset, value, at=0, partition=0, kind=TIMESTAMP_LOG_APPEND_TIME, headers=()):
    """As the client hands them out."""
    fixed = {
        "topic": "scans",
        "partition": partition,
        "offset": offset,
        "key": b"ups:1ZA",
        "value": value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
        "timestamp": (kind, (START + at) * 1000),
        "headers": list(headers),
    }
    return types.SimpleNamespace(**{name: lambda value=value: value for name, value in fixed.items()})


def letter(offset):
    places = [("topic", "scans"), ("partition", "0"), ("offset", str(offset)), ("reason", "not_json")]
    headers = [(judge.ERRORS + name, value.encode()) for name, value in places]
    return record(0, b"\xffpoison", headers=headers)


SCANS = [
    record(0, fields()),
    record(1, fields(tracking_number="1zb"), 1),
    record(2, b"\xffpoison", 2),
    record(4, fields(milestone="departed"), 50 * HOUR),
    record(7, b"\xffpoison", 9 * DAY),
    record(9, fields(tracking_number="1zb", milestone="delivered"), 9 * DAY),
]


def as_published(event):
    """As the service writes it, with what the judge does not compare."""
    told = copy.deepcopy(event)
    for table, names in ((told, judge.SECONDS), (told.get("closed_by", {}), judge.SECONDS_OF_CLOSING)):
        for name in names & set(table):
            table[name] = table[name] * 1000
    return json.dumps({**told, "policy_set": "a" * 64, "detected_time": 1, "shipper": None}).encode()


class Judge(unittest.TestCase):
    def setUp(self):
        policies = Policies(POLICIES)
        self.wanted, self.rejected = judge.expected(SCANS, payloads.Json(), policies, START + 9 * DAY)

    def found(self, change=lambda events: None):
        """What differs where the service publishes what is right but for a change."""
        events = copy.deepcopy(self.wanted)
        change(events)
        decode = judge.exceptions_decoder("json")
        found = judge.published([record(at, as_published(one)) for at, one in enumerate(events)], decode)
        return judge.differing(judge.by_package(found), judge.by_package(self.wanted))

    def test_what_is_right_is_found_right(self):
        changes = [(one["tracking_number"], one["change"]) for one in self.wanted]
        self.assertEqual(
            changes,
            [("1ZA", "opened"), ("1ZB", "opened"), ("1ZA", "resolved"), ("1ZA", "opened"), ("1ZB", "escalated")]
            + [("1ZB", "resolved")],
        )
        self.assertEqual(self.found(), [])

    def test_an_event_that_is_dropped_doubled_or_swapped_is_found(self):
        for at, event in enumerate(self.wanted):
            package = [("ups", event["tracking_number"])]
            self.assertEqual(self.found(lambda events: events.pop(at)), package)
            self.assertEqual(self.found(lambda events: events.insert(at, events[at])), package)
        swapped = lambda events: events.insert(0, events.pop(2))  # noqa: E731
        self.assertEqual(self.found(swapped), [("ups", "1ZA")])

    def test_an_event_of_a_package_that_has_none_is_found(self):
        stranger = {**self.wanted[0], "tracking_number": "1ZC"}
        self.assertEqual(self.found(lambda events: events.append(stranger)), [("ups", "1ZC")])

    def test_every_field_that_is_altered_or_missing_is_found(self):
        for at, event in enumerate(self.wanted):
            places = [(name,) for name in event if name not in ("carrier", "tracking_number", "closed_by")]
            places += [("closed_by", name) for name in event.get("closed_by", {})]
            for place in places:
                with self.subTest(event=at, place=place):
                    self.assertTrue(self.found(lambda events: alter(events[at], place, drop=False)))
                    self.assertTrue(self.found(lambda events: alter(events[at], place, drop=True)))

    def test_the_order_of_different_packages_does_not_count(self):
        self.assertEqual(self.found(lambda events: events.sort(key=lambda one: one["tracking_number"])), [])

    def test_the_first_difference_is_shown_in_both_lists(self):
        found, wanted = judge.by_package(self.wanted[:-1]), judge.by_package(self.wanted)
        shown = judge.difference(("ups", "1ZB"), found, wanted)
        self.assertIn("differs from its event 2 on", shown)
        self.assertEqual(shown.count("->"), 1, shown)

    def test_a_dead_letter_that_is_missing_doubled_or_of_a_scan_is_found(self):
        wanted = judge.must_be_letters(self.rejected)
        right = [letter(2), letter(7)]
        self.assertEqual(judge.wrong_letters(judge.letters(right), wanted), [])
        for wrong in (right[:1], right + right[:1], right + [letter(4)], [letter(2), letter(8)]):
            self.assertTrue(judge.wrong_letters(judge.letters(wrong), wanted))

    def test_what_the_log_alone_does_not_tell_is_refused(self):
        late, untimed = record(0, fields(), at=1), record(0, fields(), kind=TIMESTAMP_NOT_AVAILABLE)
        for one in (late, untimed, record(0, None)):
            with self.assertRaises(Unsupported):
                judge.expected([one], payloads.Json(), Policies(POLICIES), START)

    def test_an_event_without_the_time_of_its_detection_or_of_other_policies_is_found(self):
        decode = judge.exceptions_decoder("json")
        event = json.loads(as_published(self.wanted[0]))
        for wrong in ({**event, "detected_time": None}, {**event, "policy_set": "b" * 64}):
            with self.assertRaises(reader.Broken):
                judge.published([record(0, event), record(1, wrong)], decode)


def alter(event, place, drop):
    *path, name = place
    table = event[path[0]] if path else event
    if drop:
        del table[name]
    else:
        value = table[name]
        table[name] = not value if isinstance(value, bool) else value + ("x" if isinstance(value, str) else 1)


if __name__ == "__main__":
    unittest.main()
