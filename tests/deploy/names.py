"""The metrics that there are, and those that a query names."""

import re

import vocabulary
from files import DEPLOY, PROJECT

# By docs/metrics.md, which is made from the code.
TABLE = PROJECT / "docs" / "metrics.md"
NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
SELECTOR = re.compile(r'([A-Za-z_:][A-Za-z0-9_:]*)\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\}')
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
LABEL_VALUES = re.compile(r"label_values\(\s*([A-Za-z_:][A-Za-z0-9_:]*)(?:\{\})?\s*,\s*(\w+)\s*\)")
# What Prometheus adds, and what histograms have.
ADDED_LABELS = {"job", "instance", "namespace", "pod", "le"}
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


class Metrics:
    """Names, types and labels of what the service exports."""

    def __init__(self, rows):
        self.types = {name: kind for name, kind, _ in rows}
        self.labels = {name: set(labels) for name, _, labels in rows}

    def base(self, series):
        """The metric that a series belongs to, if there is one."""
        if self.types.get(series, "histogram") != "histogram":
            return series
        for suffix in HISTOGRAM_SUFFIXES:
            base = series.removesuffix(suffix)
            if base != series and self.types.get(base) == "histogram":
                return base
        return None

    def known(self, series, recorded):
        """The labels of a series, by metric or recording rule."""
        return recorded.get(series, self.labels.get(self.base(series), set())) | ADDED_LABELS

    def problems(self, query, recorded=None):
        """What a query names that does not exist; recording rules are given with their labels."""
        recorded = recorded or {}
        return [
            *self._series(query, recorded),
            *self._selectors(query, recorded),
            *self._groupings(query, recorded),
        ]

    def _series(self, query, recorded):
        for name in NAME.findall(TEXT.sub('""', query)):
            if "stallwatch" in name and ":" in name and name not in recorded:
                yield f"no recording rule makes {name}"
            if name.startswith("stallwatch_") and ":" not in name and self.base(name) is None:
                yield f"there is no series {name}"

    def _selectors(self, query, recorded):
        for name, selector in SELECTOR.findall(query):
            if "stallwatch" not in name:
                continue
            for label, operator, value in MATCHER.findall(selector):
                if label not in self.known(name, recorded):
                    yield f"{name} has no label {label}"
                    continue
                values = vocabulary.values(self.base(name) or name, label)
                yield from (f"{label} of {name} is never {one}" for one in unknown(operator, value, values))

    def _groupings(self, query, recorded):
        text = SELECTOR.sub(r"\1", query)
        for grouping in GROUPING.finditer(text):
            labels = {label.strip() for label in grouping[2].split(",") if label.strip()}
            # An aggregation has the labels of what it aggregates, a comparison those of either side.
            where = aggregated(text, grouping) if grouping[1] in ("by", "without") else text
            there = self._all(where, recorded)
            yield from (f"no series in {grouping[0]} … has a label {label}" for label in sorted(labels - there))
        for name, label in LABEL_VALUES.findall(text):
            if label not in self.known(name, recorded):
                yield f"{name} has no label {label}"

    def _all(self, text, recorded):
        return ADDED_LABELS.union(*(self.known(name, recorded) for name in NAME.findall(GROUPING.sub("", text)) if "stallwatch" in name))


def unknown(operator, value, values):
    """Which of the values that a matcher names a label never has; variables of a dashboard have any."""
    if values is None or value.startswith("$"):
        return []
    if operator in ("=", "!="):
        return [] if value == "" or value in values else [value]
    return [one for one in value.split("|") if not any(re.fullmatch(one, known) for known in values)]


def aggregated(text, grouping):
    """What an aggregation is about: the parentheses behind its labels, or those in front of them."""
    behind = text[grouping.end() :].lstrip()
    if behind.startswith("("):
        return behind[: closing(behind)]
    before = text[: grouping.start()].rstrip()
    turned = before[::-1].translate(str.maketrans("()", ")("))
    return before[len(before) - closing(turned) :] if turned.startswith("(") else ""


def closing(text):
    """How long the text is up to the end of the parenthesis that it begins with."""
    depth = 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return at + 1
    raise AssertionError(f"a parenthesis is not closed: {text}")


def recorded_labels(rules):
    """Recording rules with the labels that their outermost aggregation leaves, by the first part of their names."""
    recorded = {}
    for rule in rules:
        if "record" in rule:
            kept = {label.strip() for how, labels in GROUPING.findall(rule["expr"]) if how == "by" for label in labels.split(",")}
            level = rule["record"].split(":")[0].split("_")
            assert set(level) <= kept or not kept, f"{rule['record']} is not recorded by {level}"
            recorded[rule["record"]] = set(level)
    return recorded


def metrics():
    """The metrics by the generated table."""
    rows = table(TABLE.read_text(encoding="utf-8"))
    assert len(rows) > 20, "the list of metrics is not read as it is written"
    return Metrics(rows)


def table(text):
    """The rows of a Markdown table whose first column is `stallwatch_NAME`, then type and labels."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 3 and re.fullmatch(r"`stallwatch_\w+`", cells[0]):
            rows.append((cells[0].strip("`"), cells[1].strip("`"), re.findall(r"[a-z_]+", cells[2])))
    return rows


def dashboards():
    """Every dashboard."""
    return sorted((DEPLOY / "grafana").glob("*.json"))
