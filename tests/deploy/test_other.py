"""Topics and rights for Strimzi, images, compose, systemd, scripts, the form of all YAML."""

import pathlib
import re
import tempfile
import tomllib
import unittest

import schema
from files import DEPLOY, PROJECT, documents, run, tool

DEFAULTS = PROJECT / "src" / "config" / "default.toml"


def topics():
    """The topics for Strimzi by name."""
    return {topic["metadata"]["name"]: topic["spec"] for topic in documents(DEPLOY / "strimzi" / "topics.yaml")}


def configured():
    """The names of input, exceptions, open table and dead letters."""
    defaults = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))
    output = defaults["output"]
    return defaults["input"]["topics"][0], output["exceptions"], output["open"], output["dead_letter"]


class Strimzi(unittest.TestCase):
    def test_topics_and_user_are_valid(self):
        for name in ("topics.yaml", "user.yaml"):
            for resource in documents(DEPLOY / "strimzi" / name):
                self.assertIsNone(schema.problem(resource))

    def test_the_topics_are_the_four_of_the_configuration(self):
        self.assertEqual(set(topics()), set(configured()))

    def test_the_open_table_has_as_many_partitions_as_the_input(self):
        scans, _, table, _ = configured()
        self.assertEqual(topics()[scans]["partitions"], topics()[table]["partitions"])

    def test_each_topic_is_kept_as_long_as_it_must_be(self):
        hour = 3_600_000
        day = 24 * hour
        scans, exceptions, table, dead = (topics()[name]["config"] for name in configured())
        self.assertEqual(scans["message.timestamp.type"], "LogAppendTime")
        policies = tomllib.loads((DEPLOY / "policies.toml").read_text(encoding="utf-8"))
        forget_after = int(re.fullmatch(r"(\d+)d", policies["defaults"]["forget_after"])[1])
        self.assertEqual(scans["retention.ms"], 2 * forget_after * day)
        self.assertEqual(exceptions["retention.ms"], 14 * day)
        self.assertEqual((table["cleanup.policy"], table["delete.retention.ms"]), ("compact", 6 * hour))
        self.assertEqual((table["segment.ms"], table["max.compaction.lag.ms"]), (hour, hour // 12))
        self.assertEqual(table["message.timestamp.type"], "LogAppendTime")
        self.assertNotIn("retention.ms", table)
        self.assertEqual(dead["retention.ms"], 30 * day)

    def test_one_broker_may_be_lost(self):
        for name, topic in topics().items():
            self.assertEqual((topic["replicas"], topic["config"]["min.insync.replicas"]), (3, 2), name)


class Images(unittest.TestCase):
    def test_the_dockerfiles_have_no_faults(self):
        found = sorted(DEPLOY.rglob("Dockerfile"))
        self.assertEqual(len(found), 2)
        run(self, tool("hadolint"), "--failure-threshold", "style", *map(str, found))

    def test_the_image_runs_as_the_user_that_the_manifests_name(self):
        text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
        self.assertIn("\nUSER 65532:65532\n", text)
        self.assertIn('CMD ["/usr/local/bin/stallwatch", "healthcheck"', text)

    def test_what_the_image_copies_is_not_left_out_of_its_context(self):
        text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
        let_in = {line[1:] for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
        for path in re.findall(r"deploy/\w+\.toml", re.search(r"^COPY deploy/.*$", text, re.M)[0]):
            self.assertIn(path, let_in)
        for path in let_in:
            self.assertTrue((PROJECT / path).exists(), path)
        manifest = tomllib.loads((PROJECT / "Cargo.toml").read_text(encoding="utf-8"))
        targets = [target["path"] for kind in ("test", "bench", "example", "bin") for target in manifest.get(kind, []) if "path" in target]
        for path in targets:
            self.assertIn(path.split("/")[0], let_in)


class Compose(unittest.TestCase):
    def setUp(self):
        self.compose = documents(DEPLOY / "compose.yaml")[0]

    def test_it_is_valid_by_the_schema_of_compose(self):
        run(self, tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))

    def test_every_file_that_it_mounts_and_every_volume_is_there(self):
        for name, service in self.compose["services"].items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                with self.subTest(service=name, source=source):
                    if source.startswith("."):
                        self.assertTrue((DEPLOY / source).exists())
                    else:
                        self.assertIn(source, self.compose["volumes"])

    def test_a_secret_is_made_as_the_guide_says_and_never_committed(self):
        ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
        guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
        for name, secret in self.compose["secrets"].items():
            path = (DEPLOY / secret["file"]).relative_to(PROJECT).as_posix()
            self.assertIn(f"/{path}", ignored)
            self.assertIn(f"> {path}", guide)
            users = [service for service in self.compose["services"].values() if name in service.get("secrets", [])]
            self.assertTrue(users, name)
            for service in users:
                self.assertIn(f"/run/secrets/{name}", service["environment"].values())

    def test_the_admin_page_can_be_reached_where_its_head_says(self):
        service = self.compose["services"]["stallwatch"]
        port = service["environment"]["STALLWATCH__ADMIN__LISTEN"].removeprefix("0.0.0.0:")
        self.assertIn(f"127.0.0.1:{port}:{port}", service["ports"])
        self.assertIn(f"http://127.0.0.1:{port}/  stallwatch", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))

    def test_ports_are_open_to_this_machine_alone(self):
        for service in self.compose["services"].values():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_images_have_versions(self):
        for service in self.compose["services"].values():
            if "build" not in service:
                self.assertRegex(service["image"], r":v?\d+\.\d+")

    def test_every_topic_of_the_configuration_is_created_and_the_table_is_as_wide_as_the_input(self):
        script = (DEPLOY / "compose" / "create-topics.sh").read_text(encoding="utf-8")
        created = dict(re.findall(r"^topic (\S+) (\S+)", script, re.M))
        scans, _, table, _ = configured()
        self.assertEqual(set(created), set(configured()))
        self.assertEqual(created[scans], created[table])


class Scripts(unittest.TestCase):
    def test_shell_scripts_have_no_faults(self):
        found = sorted(DEPLOY.rglob("*.sh"))
        self.assertTrue(found)
        run(self, tool("shellcheck"), *map(str, found))

    def test_yaml_is_written_in_one_form(self):
        run(self, tool("yamllint"), "--strict", "-c", "tests/deploy/yamllint.yaml", "deploy", "tests/deploy")


class Systemd(unittest.TestCase):
    UNIT = DEPLOY / "systemd" / "stallwatch.service"

    def test_the_unit_is_one_and_lets_the_service_do_little(self):
        if not tool("systemd-analyze"):
            self.fail("systemd-analyze is not installed")
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / self.UNIT.name
            # The program need not be installed where the unit is looked at.
            text = self.UNIT.read_text(encoding="utf-8")
            unit.write_text(text.replace("/usr/local/bin/stallwatch", "/bin/true"), encoding="utf-8")
            said = run(self, tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", str(unit))
            self.assertNotIn("Unknown", said)
            run(self, tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", "--no-pager", str(unit))


if __name__ == "__main__":
    unittest.main()
