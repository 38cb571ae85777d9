#!/usr/bin/env python3
"""Reads stallwatch's topics as they grow and checks at every moment that nothing contradicts.

    watch.py exceptions --bootstrap B --topic T --format avro|json --source /stallwatch/GROUP
        Every exception begins with its opening, numbers its events without a gap and ends with its
        closing; a package has at most one exception of a kind open; records are as reader.py checks.
    watch.py open --bootstrap B --topic T --format avro|json
        The table as a KTable keeps it, by key: nothing is taken out that is not in it, an entry only
        gives way to a later event of the same exception, cut records only go forward.

A contradiction is printed at once, as a line. Once standard input is closed it reads to the end of
every partition and prints what it has seen as a line of JSON. Exit code 1 after a contradiction.
It knows no more of stallwatch than reader.py does.
"""

import argparse
import json
import select
import sys
import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kafka"))
import reader  # noqa: E402

# A topic at whose end nothing more has come for so long is read to its end.
QUIET_S = 3
PATIENCE_S = 120


class Exceptions:
    """What a subscriber of every event knows."""

    def __init__(self, arguments, count):
        self.arguments, self.count = arguments, count
        self.decode = reader.decoder(arguments, "tracking-exception.v1.avsc")
        self.last = {}
        self.open = {}
        self.changes = {}

    def see(self, record):
        event = reader.decoded(self.decode.decode, record)
        reader.check_exception(record, event, self.count, self.arguments)
        identity, change = event["exception_id"], event["change"]
        subject = (event["carrier"], event["tracking_number"], event["kind"])
        self.changes[change] = self.changes.get(change, 0) + 1
        before = self.last.get(identity)
        if (before is None) != (change == "opened"):
            yield f"{identity} is {change} after {before}: {event} {reader.place(record)}"
        if before is not None and event["sequence"] != before[0] + 1:
            yield f"{identity} goes from {before} to {event} at {reader.place(record)}"
        if before is None and event["sequence"] != 0:
            yield f"{identity} begins with {event['sequence']}: {event}"
        if before is not None and before[1] in reader.CLOSING:
            yield f"{identity} goes on after its end: {event}"
        told = event["sequence"], change, event.get("detected_time"), reader.place(record)
        self.last[identity] = told
        if change in reader.CLOSING:
            if self.open.pop(subject, None) != identity:
                yield f"{identity} is closed but was not open: {event}"
        elif self.open.setdefault(subject, identity) != identity:
            yield f"{identity} is open beside {self.open[subject]}: {event}"

    def summary(self):
        return {"changes": self.changes, "open": len(self.open)}


CUT = b":cut"


class Table:
    """What a KTable of the open topic holds."""

    def __init__(self, arguments, _count):
        self.decode = reader.decoder(arguments, "tracking-exception.v1.avsc")
        self.table = {}
        self.cuts = {}

    def see(self, record):
        key = (record.partition(), record.key())
        if record.key().startswith(reader.RESERVED):
            if record.key() != CUT:
                return
            cut = json.loads(record.value())
            now = (cut["commit"], cut["offset"], cut["frontier"] or 0)
            before = self.cuts.get(key, (0, 0, 0))
            if now[0] != before[0] + 1 or now[1] < before[1] or now[2] < before[2]:
                yield f"the cut of partition {key[0]} goes from {before} to {now}"
            self.cuts[key] = now
            return
        before = self.table.get(key)
        if record.value() is None:
            if before is None:
                yield f"{key} is taken out but was not in"
            self.table.pop(key, None)
            return
        event = reader.decoded(self.decode.decode, record)
        if event["change"] in reader.CLOSING:
            yield f"{key} is open by an event that closes: {event}"
        if before is None and event["change"] != "opened":
            yield f"{key} enters without an opening: {event}"
        if before is not None:
            same = before["exception_id"] == event["exception_id"]
            if not same or event["sequence"] != before["sequence"] + 1:
                yield f"{key} goes from {before} to {event}"
        self.table[key] = event

    def summary(self):
        return {"open": len(self.table), "commits": sum(cut[0] for cut in self.cuts.values())}


def consumer(arguments):
    """A read_committed reader of every partition from its beginning, and their number."""
    made = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": "chaos-subscriber",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
    )
    partitions = sorted(made.list_topics(arguments.topic, timeout=30).topics[arguments.topic].partitions)
    made.assign([TopicPartition(arguments.topic, one, OFFSET_BEGINNING) for one in partitions])
    return made, partitions


def finishing():
    """Whether standard input has been closed."""
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready) and not sys.stdin.buffer.raw.read(1)


def follow(arguments, state, source, partitions):
    """Reads until told to finish, then to the end; how many contradictions there were."""
    found, events, unfinished = 0, 0, set(partitions)
    finish_since, last = None, time.monotonic()
    while True:
        for record in source.consume(1000, timeout=0.2):
            error = record.error()
            if error is None:
                unfinished.add(record.partition())
                events, last = events + 1, time.monotonic()
                for contradiction in state.see(record):
                    found += 1
                    print(f"contradiction: {contradiction}", flush=True)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(record.partition())
            elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise reader.Broken(f"{arguments.topic}: {error}")
        now = time.monotonic()
        if finish_since is None and finishing():
            finish_since = now
        if finish_since is not None:
            if not unfinished and now - max(last, finish_since) > QUIET_S:
                print(json.dumps({"records": events, **state.summary()}), flush=True)
                return found
            if now - finish_since > PATIENCE_S:
                raise reader.Broken(f"{arguments.topic}: no end of partitions {unfinished}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["exceptions", "open"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--format", choices=["avro", "json"], required=True)
    parser.add_argument("--source")
    arguments = parser.parse_args()
    source, partitions = consumer(arguments)
    kind = Exceptions if arguments.verb == "exceptions" else Table
    try:
        found = follow(arguments, kind(arguments, len(partitions)), source, partitions)
    except reader.Broken as problem:
        print(f"contradiction: {problem}", flush=True)
        sys.exit(1)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
