#!/usr/bin/env python3
"""Customer care: tells customers about parcels that went silent, and takes it back where it was wrong.

    message    a critical silence: tell the customer that we are looking for the parcel
    review     the same, but it was open before stallwatch or this service was first started: a person
               decides, so that a first start does not write to thousands of customers at once
    reassure   a parcel that the customer was told of moves again
    apologise  it had moved in time, only the carrier's feed was late: there was nothing to tell

Each decision is one line of JSON on standard output. What was seen and what was decided is one
transaction of a database (SQLite here, yours in earnest), offsets are committed after it: a record
that comes twice decides nothing twice. The line's `id` is the key by which whoever sends the message
can drop a line that comes twice after a crash.

The first start, with an empty database, begins with the open table and goes on with the events from
where they were before; --begin events begins with the oldest event instead.

    customer_care.py --bootstrap localhost:9092 --database care.sqlite
"""

import argparse
import json
import signal
import sqlite3
import sys
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from exceptions import Exceptions

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
KINDS = ("no_movement", "missing_first_scan")
TABLES = """
CREATE TABLE IF NOT EXISTS exception (
    id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, told INTEGER NOT NULL, at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS begin_at (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL);
"""


def decide(event, told, past):
    """What an event calls for, if anything. Changes and kinds of later versions call for nothing."""
    if event["change"] in ("opened", "escalated"):
        if told or event["severity"] != "critical" or event["kind"] not in KINDS:
            return None
        return "review" if past or event["backfilled"] else "message"
    if told:
        return {"resolved": "reassure", "retracted": "apologise"}.get(event["change"])
    return None


def take(store, event, past=False):
    """Notes that an event was seen and what follows from it, once for each event."""
    identity, sequence = event["exception_id"], event["sequence"]
    found = store.execute("SELECT sequence, told FROM exception WHERE id = ?", (identity,)).fetchone()
    last, told = found or (-1, False)
    if sequence <= last:
        return
    decision = decide(event, told, past)
    told = told or decision == "message"
    seen = (identity, sequence, told)
    store.execute("INSERT OR REPLACE INTO exception (id, sequence, told) VALUES (?, ?, ?)", seen)
    if decision:
        line = {
            "id": f"{identity}:{sequence}",
            "decision": decision,
            "carrier": event["carrier"],
            "tracking_number": event["tracking_number"],
            "kind": event["kind"],
            "silent_for_h": event["silent_for_s"] // 3600,
        }
        store.execute("INSERT INTO outbox VALUES (?, ?)", (line["id"], json.dumps(line)))


def hand_over(store):
    """Hands decisions on, those first that a crash left behind."""
    for identity, line in store.execute("SELECT id, line FROM outbox ORDER BY rowid").fetchall():
        print(line, flush=True)
        with store:
            store.execute("DELETE FROM outbox WHERE id = ?", (identity,))


def event_of(record, exceptions):
    """A record's event. One that cannot be read ends the program: it may take something back."""
    try:
        return exceptions.decode(record.value())
    except Exception as problem:
        place = f"{record.topic()}/{record.partition()} at offset {record.offset()}"
        sys.exit(f"{place} cannot be read: {problem}")


def begin(settings, arguments, exceptions, store):
    """Takes what is open now, and notes where the events were before that was read."""
    reader = Consumer({**settings, "enable.partition.eof": True})
    try:
        ends = [
            (one.partition, reader.get_watermark_offsets(one, timeout=30)[1])
            for one in partitions(reader, arguments.topic)
        ]
        table = partitions(reader, arguments.open)
        reader.assign(table)
        rows, unread = {}, {one.partition for one in table}
        while unread:
            record = reader.poll(1.0)
            if record is None:
                continue
            if not record.error():
                rows[record.key()] = record
            elif record.error().code() == KafkaError._PARTITION_EOF:
                unread.discard(record.partition())
            else:
                raise KafkaException(record.error())
    finally:
        reader.close()
    with store:
        for key, row in rows.items():
            # Keys that begin with a colon are stallwatch's own records, no rows.
            if not key.startswith(b":") and row.value() is not None:
                take(store, event_of(row, exceptions), past=True)
        store.executemany("INSERT INTO begin_at VALUES (?, ?)", ends)


def partitions(consumer, topic):
    """The partitions of a topic, from their beginning."""
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return [TopicPartition(topic, number, OFFSET_BEGINNING) for number in found.partitions]


def assigned(store, consumer, parts):
    """Goes on at the committed offsets; where there is none yet, where `begin` noted it."""
    noted = dict(store.execute("SELECT partition, offset FROM begin_at").fetchall())
    offsets = consumer.committed(parts, timeout=30)
    for one in offsets:
        if one.offset < 0:
            one.offset = noted.get(one.partition, OFFSET_BEGINNING)
    consumer.assign(offsets)


def follow(consumer, exceptions, store, stopping):
    """Takes events until told to stop."""
    while not stopping:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            if record.error().fatal():
                raise KafkaException(record.error())
            print(record.error(), file=sys.stderr)  # the client goes on by itself
            continue
        with store:
            take(store, event_of(record, exceptions))
        hand_over(store)
        consumer.store_offsets(record)  # committed every few seconds and by close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", default="tracking.exceptions.v1")
    parser.add_argument("--open", default="tracking.exceptions.open.v1")
    parser.add_argument("--begin", choices=["table", "events"], default="table")
    parser.add_argument("--group", default="customer-care")
    parser.add_argument("--database", default="care.sqlite")
    parser.add_argument("--schema", type=Path, default=SCHEMAS / "tracking-exception.v1.avsc")
    parser.add_argument("--history", type=Path, default=SCHEMAS / "history")
    arguments = parser.parse_args()

    stopping = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: stopping.append(number))
    settings = {
        "bootstrap.servers": arguments.bootstrap,
        "group.id": arguments.group,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,
    }
    exceptions = Exceptions(arguments.schema, arguments.history)
    store = sqlite3.connect(arguments.database)
    store.executescript(TABLES)
    empty = not store.execute("SELECT 1 FROM begin_at UNION ALL SELECT 1 FROM exception").fetchone()
    if empty and arguments.begin == "table":
        begin(settings, arguments, exceptions, store)
    hand_over(store)
    consumer = Consumer(settings)
    consumer.subscribe([arguments.topic], on_assign=lambda *of: assigned(store, *of))
    try:
        follow(consumer, exceptions, store, stopping)
    finally:
        consumer.close()
        store.close()


if __name__ == "__main__":
    main()
