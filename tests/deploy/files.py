"""Where things lie, and how they are read."""

import pathlib
import shutil
import subprocess
import sys

import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
RULES = [DEPLOY / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
RULE_TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.test.yml"))
OPERATING = PROJECT / "docs" / "OPERATING.md"


def documents(path):
    """The documents of a YAML file."""
    with open(path, encoding="utf-8") as file:
        return [one for one in yaml.safe_load_all(file) if one is not None]


def rules():
    """Every rule of Prometheus."""
    return [rule for path in RULES for group in documents(path)[0]["groups"] for rule in group["rules"]]


def alerts():
    """Every alert by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def rule_tests():
    """Every unit test of the rules."""
    return [test for path in RULE_TESTS for test in documents(path)[0]["tests"]]


def tool(name):
    """A program beside this Python's, else one of the system."""
    beside = pathlib.Path(sys.executable).parent / name
    found = beside if beside.exists() else shutil.which(name)
    return str(found) if found else None


def run(test, *command, cwd=PROJECT):
    """Runs a program that must succeed."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    test.assertEqual(ran.returncode, 0, f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
    return ran.stdout
