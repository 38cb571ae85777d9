"""The values that a label can have, where the code knows them all: read from its sources."""

import functools
import re

from files import PROJECT

# `Variant = "value",` of a vocabulary!, or `Self::Variant => "value",` of an as_str.
IN_VOCABULARY = r"vocabulary!\s*\{(?:\s*#\[[^\n]*\])*\s*%s\s*\{(.*?)\n\s*\}"
IN_MATCH = r"impl\s+%s\s*\{.*?fn\s+as_str\(.*?\{(.*?)\n\s*\}\s*\n"
VALUE = re.compile(r'^\s*(?:\w+ =|(?:\w+::)?\w+ =>)\s*"([a-z_]+)"', re.M)

DETECTOR = "src/detector/"
# Label, and metric where it is not the same for all, to file, form and name.
SOURCES = {
    ("kind", None): (f"{DETECTOR}exception.rs", IN_VOCABULARY, "Kind"),
    ("change", None): (f"{DETECTOR}exception.rs", IN_VOCABULARY, "Change"),
    ("severity", None): (f"{DETECTOR}exception.rs", IN_VOCABULARY, "Severity"),
    ("phase", None): (f"{DETECTOR}package.rs", IN_VOCABULARY, "Phase"),
    ("evidence", None): (f"{DETECTOR}scan.rs", IN_VOCABULARY, "Evidence"),
    ("outcome", "stallwatch_scans_total"): (f"{DETECTOR}scan.rs", IN_VOCABULARY, "Outcome"),
    ("reason", "stallwatch_records_rejected_total"): ("src/wire/reject.rs", IN_VOCABULARY, "Reason"),
    ("reason", "stallwatch_frontier_held"): ("src/protocol/evidence.rs", IN_MATCH, "Hold"),
    ("outcome", "stallwatch_transactions_total"): ("docs/metrics.md", r"`stallwatch_%s_total`[^\n]*by outcome: ([^.\n]*)\.", "transactions"),
}


def values(metric, label):
    """Every value that the label of a metric can have; None where anything may come."""
    source = SOURCES.get((label, metric)) or SOURCES.get((label, None))
    return read(*source) if source else None


@functools.cache
def read(path, form, name):
    """The values in a file; a form that is no longer found there is a mistake."""
    text = (PROJECT / path).read_text(encoding="utf-8")
    found = re.findall(form % name, re.sub(r"//[^\n]*", "", text) if path.endswith(".rs") else text, re.S)
    assert len(found) == 1, f"{path} has {len(found)} lists of the values of {name}, as far as can be read"
    quoted = VALUE.findall(found[0]) if path.endswith(".rs") else re.findall(r"[a-z_]+", found[0])
    assert len(quoted) > 1, f"{path}: the values of {name} are not written as they are read"
    assert not path.endswith(".rs") or len(quoted) == found[0].count('"') // 2, f"{path}: not every value of {name} is read"
    return frozenset(quoted)
