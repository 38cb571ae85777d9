#!/usr/bin/env bash
# One would guess: Avro's fingerprint of a schema is fixed by the specification (CRC-64-AVRO of the
# Parsing Canonical Form), so that a record in single-object encoding (C3 01, fingerprint, datum)
# written by one library is found in the schema store of any other.
#
# True is: for a record with one timestamp (a long with a logical type) the libraries give three
# fingerprints. The specification strips attributes and then writes {"type":"long"} as "long".
# fastavro does that. avro of Python and goavro strip the logical type and keep the braces.
# hamba/avro keeps the logical type itself. For the same schema without the logical type all four
# agree, so a test with plain fields shows nothing.
#
# Why it matters: nearly every event has a timestamp. A reader that looks a fingerprint up in its
# store does not know the schema that it has, takes the record for foreign, and drops it or waits.
# A reader of feeds from several languages must know each schema by all of these fingerprints.
#
# Versions: fastavro 1.12.1, avro 1.12.1 (PyPI); linkedin/goavro 2.15.0, hamba/avro 2.31.0 (Go).
# Needs python3 with venv and go. Output seen:
#   plain avro 07a681477727da72      timed avro 66451a6f88a7eb3a
#   plain fastavro 07a681477727da72  timed fastavro 07a681477727da72
#   plain goavro 07a681477727da72    timed goavro 66451a6f88a7eb3a
#   plain hamba 07a681477727da72     timed hamba 25588e3445f3597d
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

plain='{"type":"record","name":"Scan","fields":[{"name":"time","type":"long"}]}'
timed='{"type":"record","name":"Scan","fields":[{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}}]}'

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check fastavro==1.12.1 avro==1.12.1
cat >by_python.py <<'PY'
import json
import sys

import avro.schema
import fastavro.schema as fast

text = sys.argv[1]
form = fast.to_parsing_canonical_form(fast.parse_schema(json.loads(text)))
print("fastavro", fast.fingerprint(form, "CRC-64-AVRO"))
print("avro", avro.schema.parse(text).fingerprint("CRC-64-AVRO").hex())
PY

export GOPATH=$folder/go GOCACHE=$folder/cache GOFLAGS=-mod=mod
mkdir by_go
cat >by_go/main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	hamba "github.com/hamba/avro/v2"
	"github.com/linkedin/goavro/v2"
)

func main() {
	codec, err := goavro.NewCodec(os.Args[1])
	if err != nil {
		panic(err)
	}
	schema := hamba.MustParse(os.Args[1])
	print, err := schema.FingerprintUsing(hamba.CRC64AvroLE)
	if err != nil {
		panic(err)
	}
	var rabin [8]byte
	binary.LittleEndian.PutUint64(rabin[:], codec.Rabin)
	fmt.Printf("goavro %x\nhamba %x\n", rabin, print)
}
GO
(cd by_go && go mod init example.org/fingerprints 2>/dev/null &&
    go get -v github.com/hamba/avro/v2@v2.31.0 github.com/linkedin/goavro/v2@v2.15.0 2>/dev/null >/dev/null && go build -o ../by_go.bin .)

of() { { venv/bin/python by_python.py "$1"; ./by_go.bin "$1"; } | sort; }
all() {
    of "$plain" | sed 's/^/plain /'
    of "$timed" | sed 's/^/timed /'
}

expected='plain avro 07a681477727da72
plain fastavro 07a681477727da72
plain goavro 07a681477727da72
plain hamba 07a681477727da72
timed avro 66451a6f88a7eb3a
timed fastavro 07a681477727da72
timed goavro 66451a6f88a7eb3a
timed hamba 25588e3445f3597d'
all | tee seen.txt
[[ $(<seen.txt) == "$expected" ]] || { echo 'the behaviour has changed' >&2; exit 1; }
