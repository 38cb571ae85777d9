#!/usr/bin/env python3
"""Judges what stallwatch has published by a reference that shares no code with it.

    judge.py --bootstrap B --scans T --exceptions T --dead-letters T --format json|avro
             --policies FILE --until SECOND

Reads the scans of every partition in order of offset, with Kafka's timestamps, and works out by
reference.py and payloads.py, which were written from the detection semantics, every event that must
be published up to that second, and every record that must be a dead letter. Reads what was published
as a read_committed subscriber, with confluent-kafka and fastavro, and compares package by package, in
order.

Compared is every field that the log determines: exception_id, sequence, change, kind, severity, step,
step_name, carrier, tracking_number, anchor_time, anchor_set_at, opened_deadline, deadline,
silent_for_s, last_milestone, last_facility, last_country, service, direction, destination_country,
shipper, value_tier, policy_id, backfilled (always false), and closed_by with all its fields. A field
that is absent on one side must be absent on the other. Not compared: detected_time, a wall clock's (it
must be there), and policy_set, the hash of a form that only the service knows (it must be a hash, the
same for all). Order is compared within a package: packages of one partition may go to several.
Of dead letters it compares place, key and value; each must be there once, and nothing else.

It holds for a service that began at the first record, with `backfill = "publish"`, under one file of
policies, and that has read everything. A record logged behind that second is refused, as is a
timestamp that Kafka has not: what becomes of them is not for the log alone to tell.

Prints what it compared as a line of JSON. Where something differs, exit code 1, with the first
packages that differ and both lists of their events.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kafka")]
import payloads  # noqa: E402
import reader  # noqa: E402
import reference  # noqa: E402

SHOWN = 3
SECONDS = {"anchor_time", "anchor_set_at", "opened_deadline", "deadline"}
SECONDS_OF_CLOSING = {"event_time", "effective_time", "log_time"}
ERRORS = "__stallwatch.errors."


# --- what must be there ------------------------------------------------------------------------


def expected(records, decoder, policies, until):
    """The events of a log that ends in that second, and the records that must be dead letters."""
    partitions, events, rejected = {}, [], []
    for record in sorted(records, key=lambda record: (record.partition(), record.offset())):
        number = record.partition()
        partition = partitions.setdefault(number, reference.Partition(policies))
        log = log_second(record)
        if log > until:
            raise reference.Unsupported(f"a record of second {log}, behind {until}")
        position = {"topic": record.topic(), "partition": number, "offset": record.offset()}
        try:
            partition.record(log, scan_of(record, decoder, log, position))
        except payloads.Rejected:
            partition.record(log)
            rejected.append(record)
    for partition in partitions.values():
        partition.finish(until)
        events += partition.events
    return events, rejected


def scan_of(record, decoder, log, position):
    if record.value() is None:
        raise reference.Unsupported(f"a record without a value at {position}")
    return payloads.scan(decoder.fields(record.value()), log, position)


def log_second(record):
    kind, millis = record.timestamp()
    second = millis // 1000
    if kind == TIMESTAMP_NOT_AVAILABLE or not payloads.YEARS[0] <= second < payloads.YEARS[1]:
        raise reference.Unsupported(f"a record with the time {millis} of type {kind}")
    return second


# --- what is there -----------------------------------------------------------------------------


def published(records, decode):
    """The comparable fields of all events, in the order of their partitions."""
    events, sets = [], set()
    for record in sorted(records, key=lambda record: (record.partition(), record.offset())):
        event = decode(record.value())
        if event.pop("detected_time", None) is None:
            raise reader.Broken(f"an event without detected_time: {event}")
        sets.add(event.pop("policy_set", None))
        events.append(comparable(event))
    if not all(isinstance(one, str) and len(one) == 64 for one in sets) or len(sets) > 1:
        raise reader.Broken(f"policy_set is {sets}")
    return events


def comparable(event):
    """An event without what is absent, with times in whole seconds."""
    told = {name: value for name, value in event.items() if value is not None}
    for name in SECONDS & set(told):
        told[name] = seconds(told[name])
    if "closed_by" in told:
        closing = {name: value for name, value in told["closed_by"].items() if value is not None}
        told["closed_by"] = {
            name: seconds(value) if name in SECONDS_OF_CLOSING else value
            for name, value in closing.items()
        }
    return told


def seconds(time):
    return reader.seconds(time) if isinstance(time, str) else time // 1000


def exceptions_decoder(form):
    """Decodes to plain numbers, so that no library has a say in what a time is."""
    if form == "json":
        return reader.Json().decode
    avro = reader.Avro("tracking-exception.v1.avsc")
    return lambda payload: numbers(avro.decode(payload))


def numbers(value):
    """The same with milliseconds in the place of points in time."""
    if isinstance(value, dict):
        return {name: numbers(one) for name, one in value.items()}
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1000)
    return value


# --- the comparison ----------------------------------------------------------------------------


def by_package(events):
    packages = {}
    for event in events:
        packages.setdefault((event["carrier"], event["tracking_number"]), []).append(event)
    return packages


def differing(found, wanted):
    """The packages whose events are not the same, one by one and in order."""
    return [key for key in sorted({**found, **wanted}) if found.get(key) != wanted.get(key)]


def difference(key, found, wanted):
    """Both lists of a package, with an arrow at the first event that differs."""
    lists = found.get(key, []), wanted.get(key, [])
    same = next((at for at, (a, b) in enumerate(zip(*lists)) if a != b), min(map(len, lists)))
    lines = [f"{key[0]} {key[1]} differs from its event {same} on"]
    for name, events in zip(("published", "reference"), lists):
        lines.append(f"  {name}:")
        for at, event in enumerate(events):
            lines.append(f"  {'->' if at == same else '  '} {json.dumps(event, sort_keys=True)}")
    return "\n".join(lines)


def letters(records):
    """Where the records of dead letters stood, with their keys and values."""
    found = []
    for record in records:
        headers = {name: value.decode() for name, value in record.headers() or []}
        place = (headers.get(ERRORS + "partition"), headers.get(ERRORS + "offset"))
        if not headers.get(ERRORS + "reason"):
            raise reader.Broken(f"a dead letter without a reason: {headers}")
        found.append((headers.get(ERRORS + "topic"), *place, record.key(), record.value()))
    return found


def must_be_letters(records):
    return [
        (record.topic(), str(record.partition()), str(record.offset()), record.key(), record.value())
        for record in records
    ]


def wrong_letters(found, wanted):
    """Dead letters that are missing, doubled, or of no rejected record."""
    found, wanted = Counter(found), Counter(wanted)
    return sorted(
        f"dead letter {place}: {found[place]} times, not {wanted[place]}"
        for place in {**found, **wanted}
        if found[place] != wanted[place]
    )


def judged(arguments):
    """What was compared, and what differs, in lines."""
    begun = time.monotonic()
    policies = reference.Policies(Path(arguments.policies).read_text(encoding="utf-8"))
    decoder = payloads.Json() if arguments.format == "json" else payloads.Avro()
    scans, _ = reader.records(arguments.bootstrap, arguments.scans)
    events, _ = reader.records(arguments.bootstrap, arguments.exceptions)
    dead, _ = reader.records(arguments.bootstrap, arguments.dead_letters)
    wanted, rejected = expected(scans, decoder, policies, arguments.until)
    found = published(events, exceptions_decoder(arguments.format))
    changes = Counter(event["change"] for event in wanted)
    found, wanted = by_package(found), by_package(wanted)
    packages = differing(found, wanted)
    wrong = wrong_letters(letters(dead), must_be_letters(rejected))
    told = {
        "records": len(scans),
        "packages": len(wanted),
        "events": sum(changes.values()),
        **changes,
        "dead_letters": len(rejected),
        "differing_packages": len(packages),
        "differing_dead_letters": len(wrong),
        "seconds": round(time.monotonic() - begun, 1),
    }
    return told, [difference(key, found, wanted) for key in packages[:SHOWN]] + wrong[:SHOWN]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bootstrap", "scans", "exceptions", "dead-letters", "policies"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--format", choices=["avro", "json"], required=True)
    parser.add_argument("--until", type=int, required=True, help="a second since 1970")
    arguments = parser.parse_args()
    try:
        told, differences = judged(arguments)
    except reader.Broken as problem:
        sys.exit(f"judge.py: {problem}")
    except reference.Unsupported as problem:
        sys.exit(f"judge.py cannot tell what is right: {problem}")
    print(json.dumps(told))
    if differences:
        sys.exit("\n".join(differences))


if __name__ == "__main__":
    main()
