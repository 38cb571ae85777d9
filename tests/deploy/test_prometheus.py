"""Rules, their unit tests, the dashboard and the runbook fit each other and the metrics."""

import json
import re
import tempfile
import unittest

import names
import prometheus_rule
from files import OPERATING, PROJECT, RULE_TESTS, RULES, alerts, documents, rule_tests, rules, run

PROMTOOL = str(PROJECT / ".cache" / "prometheus" / "promtool")


def queries_of(node):
    """Every query of a dashboard, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            yield from queries_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries_of(value)


def anchor(heading):
    """The anchor that a heading of Markdown gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


class Rules(unittest.TestCase):
    def test_prometheus_takes_the_rules(self):
        run(self, PROMTOOL, "check", "rules", *map(str, RULES))

    def test_prometheus_takes_the_configuration_of_compose(self):
        run(self, PROMTOOL, "check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml")

    def test_every_unit_test_of_the_rules_passes(self):
        run(self, PROMTOOL, "test", "rules", *map(str, RULE_TESTS))

    def test_every_unit_test_names_the_order_of_all_groups(self):
        names = [group["name"] for path in RULES for group in documents(path)[0]["groups"]]
        for path in RULE_TESTS:
            self.assertEqual(documents(path)[0]["group_eval_order"], names, path.name)

    def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent(self):
        fires, silent = set(), set()
        for test in rule_tests():
            for case in test["alert_rule_test"]:
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
        self.assertEqual(set(alerts()), fires)
        self.assertEqual(set(alerts()), silent)

    def test_every_alert_has_severity_summary_description_and_runbook(self):
        for name, alert in alerts().items():
            with self.subTest(name):
                self.assertIn(alert["labels"]["severity"], ("warning", "critical"))
                self.assertEqual(set(alert["annotations"]), {"summary", "description", "runbook_url"})

    def test_every_runbook_section_is_there_and_none_is_of_an_alert_that_is_not(self):
        headings = re.findall(r"^### (.+)$", OPERATING.read_text(encoding="utf-8"), re.M)
        sections = {anchor(heading) for heading in headings if heading.startswith("Stallwatch")}
        named = {alert["annotations"]["runbook_url"] for alert in alerts().values()}
        self.assertEqual(named, {f"docs/OPERATING.md#{section}" for section in sections})
        for name, alert in alerts().items():
            self.assertEqual(alert["annotations"]["runbook_url"], f"docs/OPERATING.md#{anchor(name)}")

    def test_the_rules_for_the_operator_are_those_for_prometheus(self):
        written = prometheus_rule.FILE.read_text(encoding="utf-8")
        self.assertEqual(written, prometheus_rule.text(), f"run python3 {prometheus_rule.SCRIPT}")


class Names(unittest.TestCase):
    def setUp(self):
        self.metrics = names.metrics()
        self.recorded = names.recorded_labels(rules())

    def check(self, where, query):
        with self.subTest(where=where):
            self.assertEqual(self.metrics.problems(query, self.recorded), [], query)

    def test_every_rule_asks_for_what_there_is(self):
        for rule in rules():
            self.check(rule.get("alert") or rule.get("record"), rule["expr"])

    def test_every_unit_test_feeds_what_there_is(self):
        for test in rule_tests():
            for series in test["input_series"]:
                self.check(test["name"], series["series"])

    def test_every_panel_asks_for_what_there_is(self):
        for path in names.dashboards():
            for query in queries_of(json.loads(path.read_text(encoding="utf-8"))):
                self.check(path.name, query)

    def test_every_recording_rule_is_asked_for(self):
        asked = " ".join(rule["expr"] for rule in rules())
        asked += " ".join(query for path in names.dashboards() for query in queries_of(json.loads(path.read_text(encoding="utf-8"))))
        for name in self.recorded:
            self.assertIn(name, asked, "nobody uses it")

    def test_the_guide_and_the_manifests_name_what_there_is(self):
        autoscalers = [PROJECT / "deploy/kubernetes/components" / name for name in ("hpa/autoscaler.yaml", "keda/scaled-object.yaml")]
        for path in [OPERATING, *autoscalers]:
            for name in re.findall(r"\bstallwatch_\w+(?:\{[^}]*\})?", path.read_text(encoding="utf-8")):
                # Prose names a histogram, a query one of its series.
                if name not in self.metrics.types:
                    self.check(path.name, name)

    def test_what_does_not_exist_is_noticed(self):
        self.assertEqual(self.metrics.problems('sum(stallwatch_scans_total{carrier="x"})'), [])
        for wrong in ("stallwatch_scans", 'stallwatch_scans_total{hue="red"}', "stallwatch_scans_total_bucket", "job:stallwatch_x:sum", "stallwatch_detection_delay_seconds"):
            self.assertNotEqual(self.metrics.problems(wrong), [], wrong)

    def test_a_label_that_a_series_does_not_have_is_noticed_wherever_it_stands(self):
        recorded = {"job:stallwatch_x:sum": {"job"}}
        for good in (
            "sum by (job, carrier) (rate(stallwatch_scans_total[5m]))",
            "sum(rate(stallwatch_scans_total[5m])) by (carrier)",
            "sum without (topic, instance) (stallwatch_consumer_lag_records)",
            "stallwatch_scans_total / on (job, carrier) group_left (change) stallwatch_exceptions_total",
            "sum by (job) (job:stallwatch_x:sum)",
            "label_values(stallwatch_scans_total, carrier)",
        ):
            self.assertEqual(self.metrics.problems(good, recorded), [], good)
        for wrong in (
            "sum by (job, hue) (rate(stallwatch_scans_total[5m]))",
            "sum(rate(stallwatch_scans_total[5m])) by (hue)",
            "sum by (topic) (stallwatch_scans_total) / sum(stallwatch_consumer_lag_records)",
            "sum without (hue) (stallwatch_scans_total)",
            "stallwatch_scans_total / on (job, hue) stallwatch_exceptions_total",
            "stallwatch_scans_total / ignoring (hue) stallwatch_exceptions_total",
            "sum by (carrier) (job:stallwatch_x:sum)",
            'job:stallwatch_x:sum{carrier="x"}',
            "label_values(stallwatch_scans_total, hue)",
        ):
            self.assertNotEqual(self.metrics.problems(wrong, recorded), [], wrong)

    def test_a_value_that_a_label_never_has_is_noticed(self):
        for good in (
            'stallwatch_frontier_held{reason=~"halted|max_packages|no_.*"}',
            'stallwatch_records_rejected_total{reason="not_json"}',
            'stallwatch_transactions_total{outcome!="committed"}',
            'stallwatch_scans_total{outcome="too_old", evidence="physical", carrier="any"}',
            'stallwatch_exceptions_total{change="retracted", kind="no_movement", severity=~"warning|critical"}',
            'stallwatch_packages_tracked{phase="settled"}',
            'stallwatch_packages_tracked{phase=~"$phase"}',
        ):
            self.assertEqual(self.metrics.problems(good), [], good)
        for wrong in (
            'stallwatch_frontier_held{reason="not_json"}',
            'stallwatch_frontier_held{reason=~"halted|stopped"}',
            'stallwatch_records_rejected_total{reason="halted"}',
            'stallwatch_transactions_total{outcome!="commited"}',
            'stallwatch_scans_total{outcome="committed"}',
            'stallwatch_scans_total{evidence="seen"}',
            'stallwatch_exceptions_total{change="closed"}',
            'stallwatch_exceptions_total{severity!~"info"}',
            'stallwatch_exceptions_open{kind="lost"}',
            'stallwatch_packages_tracked{phase="held"}',
        ):
            self.assertNotEqual(self.metrics.problems(wrong), [], wrong)


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.boards = [json.loads(path.read_text(encoding="utf-8")) for path in names.dashboards()]

    def test_there_is_a_variable_for_the_job_and_every_query_follows_it(self):
        for board in self.boards:
            self.assertIn("job", [variable["name"] for variable in board["templating"]["list"]])
            for panel in board["panels"]:
                for target in panel.get("targets", []):
                    self.assertIn('job=~"$job"', target["expr"], panel["title"])

    def test_all_jobs_are_all_of_stallwatch_and_not_of_prometheus(self):
        for board in self.boards:
            job = next(variable for variable in board["templating"]["list"] if variable["name"] == "job")
            self.assertNotIn("allValue", job)
            self.assertRegex(job["query"]["query"], r"^label_values\(stallwatch_\w+, job\)$")

    def test_prometheus_can_parse_every_query(self):
        queries = [target["expr"] for board in self.boards for panel in board["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 30)
        plain = [query.replace("$__rate_interval", "5m") for query in queries]
        panels = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump({"groups": [{"name": "panels", "rules": panels}]}, file)
            file.flush()
            run(self, PROMTOOL, "check", "rules", file.name)

    def test_panels_have_ids_and_places_of_their_own(self):
        for board in self.boards:
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            taken = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
                self.assertFalse(cells & taken, f"{panel['title']} lies on another panel")
                self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells


if __name__ == "__main__":
    unittest.main()
