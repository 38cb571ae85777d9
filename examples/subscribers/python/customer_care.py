#!/usr/bin/env python3
"""Customer care: tells customers about parcels that went silent, and takes it back where it was wrong.

    message    a critical silence: tell the customer that we are looking for the parcel
    review     the same, but it was open before stallwatch was started: a person decides, so that a
               first start does not write to thousands of customers at once
    reassure   a parcel that the customer was told of moves again
    apologise  it had moved in time, only the carrier's feed was late: there was nothing to tell

Each decision is one line of JSON on standard output. What was seen and what was decided is one
transaction of a database (SQLite here, yours in earnest), offsets are committed after it: a record
that comes twice decides nothing twice. The line's `id` is the key by which whoever sends the message
can drop a line that comes twice after a crash.

    customer_care.py --bootstrap localhost:9092 --database care.sqlite
"""

import argparse
import json
import signal
import sqlite3
import sys
from pathlib import Path

from confluent_kafka import Consumer, KafkaException

from exceptions import Exceptions

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
KINDS = ("no_movement", "missing_first_scan")
TABLES = """
CREATE TABLE IF NOT EXISTS exception (
    id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, told INTEGER NOT NULL, at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, line TEXT NOT NULL);
"""


def decide(event, told):
    """What an event calls for, if anything. Changes and kinds of later versions call for nothing."""
    if event["change"] in ("opened", "escalated"):
        if told or event["severity"] != "critical" or event["kind"] not in KINDS:
            return None
        return "review" if event["backfilled"] else "message"
    if told:
        return {"resolved": "reassure", "retracted": "apologise"}.get(event["change"])
    return None


def take(store, event):
    """Notes that an event was seen and what follows from it; one transaction, once for each event."""
    identity, sequence = event["exception_id"], event["sequence"]
    with store:
        found = store.execute("SELECT sequence, told FROM exception WHERE id = ?", (identity,)).fetchone()
        last, told = found or (-1, False)
        if sequence <= last:
            return
        decision = decide(event, told)
        told = told or decision == "message"
        store.execute(
            "INSERT OR REPLACE INTO exception (id, sequence, told) VALUES (?, ?, ?)", (identity, sequence, told)
        )
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
        place = f"{record.topic()}/{record.partition()} at offset {record.offset()}"
        try:
            event = exceptions.decode(record.value())
        except Exception as problem:
            # An event that is passed over may be the one that takes something back.
            sys.exit(f"{place} cannot be read: {problem}")
        take(store, event)
        hand_over(store)
        consumer.store_offsets(record)  # committed every few seconds and by close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", default="tracking.exceptions.v1")
    parser.add_argument("--group", default="customer-care")
    parser.add_argument("--database", default="care.sqlite")
    parser.add_argument("--schema", type=Path, default=SCHEMAS / "tracking-exception.v1.avsc")
    parser.add_argument("--history", type=Path, default=SCHEMAS / "history")
    arguments = parser.parse_args()

    stopping = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: stopping.append(number))
    store = sqlite3.connect(arguments.database)
    store.executescript(TABLES)
    hand_over(store)
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": arguments.group,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe([arguments.topic])
    try:
        follow(consumer, Exceptions(arguments.schema, arguments.history), store, stopping)
    finally:
        consumer.close()
        store.close()


if __name__ == "__main__":
    main()
