"""Payloads of scans as the reference takes them: JSON and Avro, normal form, and what is rejected.

By the document alone, like reference.py. A payload that the semantics reject raises `Rejected`; one
whose fate this does not know raises `Unsupported`, so that nothing is guessed.
"""

import io
import json
import re
import string
from datetime import datetime, timedelta, timezone
from pathlib import Path

from reference import KEPT, PLACE, VOCABULARY, Scan, Unsupported

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "scan.v1.avsc"
TEXTS = ("tracking_number", "carrier", "milestone", "evidence", "event_id", "carrier_code", *KEPT, *PLACE)
LONGEST = 256
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
YEARS = (946_684_800, 4_102_444_800)
# Local midnights that stand for no time; so does every second of the last day of the year 9999.
NO_TIME = {(1, 1, 1), (1900, 1, 1), (1970, 1, 1), (2000, 1, 1)}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)?"
)


class Rejected(Exception):
    """A record that is a dead letter."""


def scan(fields, log, position):
    """The scan of a decoded record that was logged in this second."""
    texts = {name: text_of(fields, name) for name in TEXTS}
    check_map(fields.get("attributes"))
    carrier = carrier_of(texts["carrier"])
    number = number_of(texts["tracking_number"], carrier)
    event = event_second(fields.get("event_time"))
    milestone, evidence = word(texts["milestone"]), word(texts["evidence"]) or "physical"
    if not milestone:
        raise Rejected("missing_milestone")
    return Scan(
        carrier=carrier,
        number=number,
        milestone=milestone if milestone in VOCABULARY else "info",
        evidence=evidence if evidence in ("physical", "system") else "predicted",
        log=log,
        event=event,
        attributes={name: texts[name] for name in (*KEPT, *PLACE) if texts[name]},
        position=position,
    )


def text_of(fields, name):
    text = fields.get(name)
    if text is not None and not isinstance(text, str):
        raise Rejected(f"{name} is no text")
    if len((text or "").encode("utf-8", "surrogatepass")) > LONGEST:
        raise Rejected(f"{name} is too long")
    return text or ""


def check_map(value):
    if value is not None and not (
        isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    ):
        raise Rejected("attributes is no map of texts")


def word(text):
    """Milestone or evidence as the vocabulary writes it."""
    return text.translate(LOWER).replace("-", "_").replace(" ", "_")


def carrier_of(text):
    carrier = text.strip(" \t").translate(LOWER)
    if not re.fullmatch(r"[a-z0-9._-]{1,32}", carrier):
        raise Rejected("carrier")
    return carrier


def number_of(text, carrier):
    number = text.translate(UPPER).replace(" ", "").replace("-", "")
    if not re.fullmatch(r"[!-~]{1,64}", number):
        raise Rejected("tracking_number")
    return routed(number) if carrier == "usps" else number


def routed(number):
    """A number of usps without 420 and the ZIP code in front."""
    if not re.fullmatch(r"420[0-9]*", number):
        return number
    length = len(number)
    if length in (28, 30):
        return number[8:]
    if length in (32, 38):
        return number[12:]
    if length == 34:
        kept = 26 if number[-26] == "9" and number[-22] != "9" else 22
        return number[-kept:]
    return number


def event_second(value):
    """The second of an event time; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Rejected("event_time")
    if isinstance(value, float):
        raise Unsupported(f"the time {value!r}")
    second = text_second(value) if isinstance(value, str) else number_second(value)
    if second is not None and not YEARS[0] <= second < YEARS[1]:
        raise Rejected("time_out_of_range")
    return second


def number_second(millis):
    for day in NO_TIME:
        midnight = (datetime(*day, tzinfo=timezone.utc) - EPOCH) // timedelta(milliseconds=1)
        if millis == midnight:
            return None
        # Midnight somewhere else, maybe.
        if abs(millis - midnight) <= 24 * 3_600_000 and millis % 60_000 == 0:
            raise Unsupported(f"the time {millis}")
    return millis // 1000


def text_second(text):
    found = RFC3339.fullmatch(text)
    if not found:
        raise Rejected("event_time")
    numbers, offset = [int(found[at]) for at in range(1, 7)], found[7]
    if numbers[5] == 60:
        raise Unsupported(f"the time {text!r}")
    if numbers[:3] == [9999, 12, 31] or (tuple(numbers[:3]) in NO_TIME and not any(numbers[3:])):
        return None
    if offset is None:
        raise Rejected("event_time")
    ahead = 0
    if offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            raise Rejected("event_time")
        ahead = (hours * 60 + minutes) * (-60 if offset[0] == "-" else 60)
    try:
        local = datetime(*numbers, tzinfo=timezone.utc)
    except ValueError as problem:
        raise Rejected("event_time") from problem
    return (local - EPOCH) // timedelta(seconds=1) - ahead


class Json:
    """One JSON object."""

    def fields(self, payload):
        try:
            value = json.loads(payload.decode("utf-8"))
        except ValueError as problem:
            raise Rejected(str(problem)) from problem
        if not isinstance(value, dict):
            raise Rejected("no object")
        return value


class Avro:
    """A single object under schemas/scan.v1.avsc, whose fingerprint is that of the specification or the
    one that Avro's Rust and Python libraries write; times stay numbers."""

    def __init__(self):
        from fastavro import parse_schema, schemaless_reader
        from fastavro.schema import fingerprint, to_parsing_canonical_form

        plain = json.loads(SCHEMA.read_text(encoding="utf-8"))
        forms = [to_parsing_canonical_form(plain)]
        forms.append(forms[0].replace('["null","long"]', '["null",{"type":"long"}]'))
        self.prints = {bytes.fromhex(fingerprint(form, "CRC-64-AVRO")) for form in forms}
        schema = parse_schema(without_logical_types(plain))
        self.read = lambda body: schemaless_reader(body, schema, None)

    def fields(self, payload):
        if payload[:2] != b"\xc3\x01" or len(payload) < 10:
            raise Rejected("no single object")
        if payload[2:10] not in self.prints:
            raise Unsupported(f"a schema of fingerprint {payload[2:10].hex()}")
        body = io.BytesIO(payload[10:])
        try:
            value = self.read(body)
        except Exception as problem:
            raise Rejected(str(problem)) from problem
        if body.read(1):
            raise Unsupported("bytes behind the datum")
        return value


def without_logical_types(schema):
    if isinstance(schema, list):
        return [without_logical_types(one) for one in schema]
    if isinstance(schema, dict):
        return {name: without_logical_types(one) for name, one in schema.items() if name != "logicalType"}
    return schema
