#!/usr/bin/env python3
"""Reads stallwatch's topics with nothing of stallwatch's own: confluent-kafka, fastavro, schemas/.

    reader.py exceptions --bootstrap B --topic T --format avro|json --source /stallwatch/GROUP
        Every event of the exceptions topic as NDJSON, with the names and times that `replay` gives,
        and the record's place under `_kafka`. Key, headers, encoding and partition are checked.
    reader.py open --bootstrap B --topic T --format avro|json [--keyed-input]
        What is open: the `open` topic compacted by key, cut records skipped. With --keyed-input, for
        scans that were produced by package, the partition is checked to be that of the scans.
    reader.py export --bootstrap B --topic T --format avro|json --output FILE
        A topic of scans as a log that `replay` reads: an Avro container of schemas/scan-log.v1.avsc
        for avro, NDJSON for json, with log_time, partition and offset. A record that cannot be
        decoded is kept as one without carrier and number, so that its log time still counts.
        Prints how many records there are, and how many of them are broken.

Reads as a read_committed consumer does, from the beginning to the end of every partition.
Whatever is not as the documents promise ends it with a message and exit code 1.
"""

import argparse
import io
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
RESERVED = b":"
CLOSING = {"resolved", "retracted", "expired"}
TIMES = {
    "anchor_time",
    "anchor_set_at",
    "opened_deadline",
    "deadline",
    "detected_time",
    "event_time",
    "effective_time",
    "log_time",
}
# A topic is read within this, or something is wrong.
PATIENCE_S = 60


class Broken(Exception):
    """Something is not as the documents promise."""


def records(bootstrap, topic):
    """All committed records of a topic, and its number of partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "independent-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    metadata = consumer.list_topics(topic, timeout=10).topics[topic]
    if metadata.error is not None:
        raise Broken(f"{topic}: {metadata.error}")
    partitions = sorted(metadata.partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    found, unfinished, end = [], set(partitions), time.monotonic() + PATIENCE_S
    while unfinished:
        if time.monotonic() > end:
            raise Broken(f"{topic}: the end of partitions {sorted(unfinished)} was not reached")
        for record in consumer.consume(10_000, timeout=0.2):
            if record.error() is None:
                found.append(record)
            elif record.error().code() == KafkaError._PARTITION_EOF:
                unfinished.discard(record.partition())
            else:
                raise Broken(f"{topic}: {record.error()}")
    consumer.close()
    return found, len(partitions)


def murmur2(data):
    """The hash of Kafka's Java clients, as a signed 32-bit number made positive."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def rfc3339(millis):
    """A time as replay writes it: RFC 3339, UTC, whole seconds."""
    if isinstance(millis, datetime):
        millis = round(millis.timestamp() * 1000)
    return datetime.fromtimestamp(millis // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text):
    """Whole seconds since 1970 of a time as replay writes it."""
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


class Avro:
    """Single-object encoding under one schema of schemas/."""

    def __init__(self, name, foreign=False):
        self.schema = load_schema(str(SCHEMAS / name))
        canonical = to_parsing_canonical_form(self.schema)
        # Avro's Rust and Python libraries keep the object where a long has a logical type.
        library = canonical.replace('["null","long"]', '["null",{"type":"long"}]')
        forms = [canonical, library] if foreign else [canonical]
        self.prefixes = [
            b"\xc3\x01" + bytes.fromhex(fingerprint(form, "CRC-64-AVRO")) for form in forms
        ]

    def decode(self, payload):
        if payload[:10] not in self.prefixes:
            raise Broken(f"begins with {payload[:10].hex()}, not with {self.prefixes[0].hex()}")
        body = io.BytesIO(payload[10:])
        value = fastavro.schemaless_reader(body, self.schema, None)
        if body.read(1):
            raise Broken("bytes are left over behind the datum")
        return value


class Json:
    """One JSON object."""

    def decode(self, payload):
        value = json.loads(payload)
        if not isinstance(value, dict):
            raise Broken("not a JSON object")
        return value


def tell(value):
    """A decoded event with times as replay writes them; what is absent is left out."""
    told = {}
    for name, field in value.items():
        if field is None:
            continue
        if isinstance(field, dict):
            field = tell(field)
        elif name in TIMES and not isinstance(field, str):
            field = rfc3339(field)
        told[name] = field
    return told


def decoder(arguments, schema):
    return Avro(schema) if arguments.format == "avro" else Json()


def decoded(decode, record):
    try:
        return tell(decode(record.value()))
    except Exception as problem:
        place = f"{record.topic()}/{record.partition()} at offset {record.offset()}"
        raise Broken(f"{place}: {problem}") from problem


def expect(record, what, found, wanted):
    if found != wanted:
        place = f"{record.topic()}/{record.partition()} at offset {record.offset()}"
        raise Broken(f"{place}: {what} is {found!r}, not {wanted!r}")


def check_exception(record, event, count, arguments):
    """Key, partitioner, and the CloudEvents headers of the Kafka binary mode."""
    key = f"{event['carrier']}:{event['tracking_number']}".encode()
    expect(record, "key", record.key(), key)
    expect(record, "partition", record.partition(), murmur2(key) % count)
    headers = {name: value.decode() for name, value in record.headers() or []}
    change = event["change"]
    if change == "expired":
        at = seconds(event["anchor_time"]) + event["silent_for_s"]
    elif change in CLOSING and event.get("closed_by"):
        at = seconds(event["closed_by"]["log_time"])
    else:
        at = seconds(event["deadline"])
    wanted = {
        "ce_specversion": "1.0",
        "ce_id": f"{event['exception_id']}:{event['sequence']}",
        "ce_source": arguments.source,
        "ce_type": f"io.stallwatch.exception.{change}.v1",
    }
    for name, value in wanted.items():
        expect(record, f"header {name}", headers.get(name), value)
    expect(record, "header ce_time", seconds(headers.get("ce_time", "")), at)
    for name in ("ce_subject", "content-type"):
        if not headers.get(name):
            raise Broken(f"{record.topic()}: an event has no header {name}")
    if arguments.format not in headers["content-type"]:
        raise Broken(f"content-type {headers['content-type']!r} does not say {arguments.format}")


def place(record):
    return {
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
    }


def print_line(value):
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")


def exceptions(arguments):
    avro_or_json = decoder(arguments, "tracking-exception.v1.avsc")
    found, count = records(arguments.bootstrap, arguments.topic)
    for record in found:
        event = decoded(avro_or_json.decode, record)
        check_exception(record, event, count, arguments)
        print_line({**event, "_kafka": place(record)})


def open_exceptions(arguments):
    avro_or_json = decoder(arguments, "tracking-exception.v1.avsc")
    found, count = records(arguments.bootstrap, arguments.topic)
    latest = {}
    for record in found:
        if record.key().startswith(RESERVED):
            continue
        latest[(record.partition(), record.key())] = record
    seen = set()
    for (_, key), record in latest.items():
        if record.value() is None:
            continue
        event = decoded(avro_or_json.decode, record)
        wanted = f"{event['carrier']}:{event['tracking_number']}:{event['kind']}".encode()
        expect(record, "key", key, wanted)
        if arguments.keyed_input:
            package = f"{event['carrier']}:{event['tracking_number']}".encode()
            expect(record, "partition", record.partition(), murmur2(package) % count)
        if key in seen:
            raise Broken(f"{key!r} is open in two partitions")
        if event["change"] in CLOSING:
            raise Broken(f"{key!r} is open, but its last event is {event['change']}")
        seen.add(key)
        print_line({**event, "_kafka": place(record)})


def scan_log(arguments, found, counts):
    """The records of a topic of scans as scans of a log."""
    avro = Avro("scan.v1.avsc", foreign=True) if arguments.format == "avro" else None
    for record in found:
        envelope = {
            "log_time": record.timestamp()[1],
            "partition": record.partition(),
            "offset": record.offset(),
        }
        try:
            value = avro.decode(record.value()) if avro else json.loads(record.value())
        except Exception:
            value = None
        if not isinstance(value, dict):
            counts["broken"] += 1
            value = {"tracking_number": "", "carrier": ""}
        yield {**value, **envelope}


def export(arguments):
    found, _ = records(arguments.bootstrap, arguments.topic)
    counts = {"records": len(found), "broken": 0}
    log = scan_log(arguments, found, counts)
    if arguments.format == "avro":
        schema = load_schema(str(SCHEMAS / "scan-log.v1.avsc"))
        with open(arguments.output, "wb") as file:
            fastavro.writer(file, schema, log, codec="deflate")
    else:
        with open(arguments.output, "w", encoding="utf-8") as file:
            for scan in log:
                file.write(json.dumps(scan, separators=(",", ":")) + "\n")
    print_line(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = {"exceptions": exceptions, "open": open_exceptions, "export": export}
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--format", choices=["avro", "json"], required=True)
    parser.add_argument("--source")
    parser.add_argument("--keyed-input", action="store_true")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    try:
        verbs[arguments.verb](arguments)
    except Broken as problem:
        sys.exit(f"reader.py: {problem}")


if __name__ == "__main__":
    main()
