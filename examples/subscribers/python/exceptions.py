"""Reads the values of stallwatch's topics: Avro single objects and JSON. Copy it as it is."""

import io
import json
from pathlib import Path

import fastavro
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

MARKER = b"\xc3\x01"


class Unreadable(Exception):
    """A value that this program must not pass over: says what to do."""


class Exceptions:
    """Decodes values under the schema that this program was written for.

    `reader` is that schema; `history` is a folder with every published version, since a value names
    the version that it was written with and can only be read with that. Fields that `reader` lacks
    are skipped, fields that the value lacks take their defaults, and a symbol that `reader` does not
    know becomes `unknown`.
    """

    def __init__(self, reader: Path, history: Path):
        self.reader = load_schema(str(reader))
        files = [reader, *sorted(history.glob("tracking-exception.*.avsc"))]
        self.writers = {self._name(schema): schema for schema in map(load_schema, map(str, files))}

    @staticmethod
    def _name(schema) -> bytes:
        return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))

    def decode(self, value: bytes) -> dict:
        """The event of a record's value."""
        if value[:2] != MARKER:
            return json.loads(value)
        writer = self.writers.get(value[2:10])
        if writer is None:
            raise Unreadable(
                f"written with the schema of fingerprint {value[9:1:-1].hex()}, which is none of"
                f" {len(self.writers)} known: add the newest tracking-exception.v1.*.avsc"
            )
        return fastavro.schemaless_reader(io.BytesIO(value[10:]), writer, self.reader)
