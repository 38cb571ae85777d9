"""The metrics that there are, and those that a query names."""

import re

from files import DEPLOY, PROJECT

# By docs/metrics.md, which is made from the code.
TABLE = PROJECT / "docs" / "metrics.md"
NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
SELECTOR = re.compile(r"(stallwatch_\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
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

    def problems(self, query, recorded=()):
        """What a query names that does not exist."""
        text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
        found = [f"no recording rule makes {name}" for name in NAME.findall(text) if "stallwatch" in name and ":" in name and name not in recorded]
        for name in NAME.findall(text):
            if name.startswith("stallwatch_") and self.base(name) is None:
                found.append(f"there is no series {name}")
        for name, selector in SELECTOR.findall(text):
            unknown = set(LABEL.findall(selector)) - ADDED_LABELS - self.labels.get(self.base(name), set())
            found += [f"{name} has no label {label}" for label in sorted(unknown)]
        return found


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
