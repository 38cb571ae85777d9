#!/usr/bin/env python3
"""Writes the rules of deploy/prometheus as a PrometheusRule, for the Prometheus operator."""

import yaml

from files import DEPLOY, RULES, documents

FILE = DEPLOY / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"
SCRIPT = "tests/deploy/prometheus_rule.py"
HEAD = f"# The rules of deploy/prometheus, put together by {SCRIPT}: change them there.\n"


class Block(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper, text):
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Block.add_representer(str, _text)


def text():
    groups = [group for path in RULES for group in documents(path)[0]["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "stallwatch"},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.dump(rule, Dumper=Block, sort_keys=False, width=1000)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
