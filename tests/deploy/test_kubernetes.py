"""The manifests, as Kustomize puts them together, are valid and fit each other."""

import itertools
import pathlib
import shutil
import tempfile
import unittest

import yaml

import schema
from files import DEPLOY, documents, run, tool

COMPONENTS = ("bucket", "admin", "monitoring", "keda", "hpa")
# Made by operators or by hand, as the comments beside them say.
SECRETS = {"stallwatch", "kafka-cluster-ca-cert", "stallwatch-bucket", "stallwatch-admin"}


def choices():
    """Every set of components that makes sense: one autoscaler at most."""
    for count in range(len(COMPONENTS) + 1):
        for chosen in itertools.combinations(COMPONENTS, count):
            if not {"keda", "hpa"} <= set(chosen):
                yield chosen


def kustomize():
    """The command that puts a folder together."""
    if tool("kustomize"):
        return [tool("kustomize"), "build"]
    return [tool("kubectl"), "kustomize"]


def pod(built):
    return one(built, "StatefulSet")["spec"]["template"]


def container(built):
    return pod(built)["spec"]["containers"][0]


def one(built, kind):
    found = [resource for resource in built if resource["kind"] == kind]
    assert len(found) == 1, f"{len(found)} resources of kind {kind}"
    return found[0]


class Built(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (tool("kustomize") or tool("kubectl")):
            raise AssertionError("neither kustomize nor kubectl is installed")
        cls.built = {chosen: cls.build(chosen) for chosen in choices()}

    @classmethod
    def build(cls, chosen):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "deploy"
            shutil.copytree(DEPLOY, copy)
            entry = documents(copy / "kustomization.yaml")[0]
            entry["components"] = [f"kubernetes/components/{name}" for name in chosen]
            (copy / "kustomization.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
            built = run(cls(), *kustomize(), str(copy))
        return [one for one in yaml.safe_load_all(built) if one is not None]

    def test_every_choice_of_components_is_valid(self):
        for built in self.built.values():
            self.assertGreaterEqual(len(built), 7)
            for resource in built:
                self.assertIsNone(schema.problem(resource))

    def test_everything_is_in_the_one_namespace(self):
        for built in self.built.values():
            for resource in built:
                if resource["kind"] != "Namespace":
                    self.assertEqual(resource["metadata"].get("namespace"), "stallwatch", resource["kind"])

    def test_the_configuration_is_that_of_the_project(self):
        for built in self.built.values():
            config = one(built, "ConfigMap")
            for name in ("stallwatch.toml", "policies.toml"):
                self.assertEqual(config["data"][name], (DEPLOY / name).read_text(encoding="utf-8"))
            mounted = [volume["configMap"]["name"] for volume in pod(built)["spec"]["volumes"] if "configMap" in volume]
            self.assertEqual(mounted, [config["metadata"]["name"]])

    def test_selectors_find_the_pods_and_ports_their_names(self):
        for chosen, built in self.built.items():
            labels = pod(built)["metadata"]["labels"].items()
            service = one(built, "Service")
            self.assertLessEqual(service["spec"]["selector"].items(), labels)
            self.assertEqual(service["spec"]["clusterIP"], "None")
            self.assertEqual(one(built, "StatefulSet")["spec"]["serviceName"], service["metadata"]["name"])
            for kind in ("PodDisruptionBudget", *(["PodMonitor"] if "monitoring" in chosen else [])):
                self.assertLessEqual(one(built, kind)["spec"]["selector"]["matchLabels"].items(), labels)
            self.assertLessEqual(one(built, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items(), labels)
            ports = {port["name"]: port["containerPort"] for port in container(built)["ports"]}
            self.assertEqual(ports, {"probe": 9465} | ({"admin": 9464} if "admin" in chosen else {}))
            called = {port["name"]: (port["port"], port["targetPort"]) for port in service["spec"]["ports"]}
            self.assertEqual(called, {name: (number, name) for name, number in ports.items()})
            probes = {name: container(built)[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
            self.assertEqual([probe["path"] for probe in probes.values()], ["/startupz", "/livez", "/readyz"])
            self.assertEqual({probe["port"] for probe in probes.values()}, {"probe"})

    def test_the_container_has_no_rights_that_it_does_not_need(self):
        for built in self.built.values():
            spec, security = pod(built)["spec"], container(built)["securityContext"]
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            self.assertEqual(spec["securityContext"]["runAsUser"], 65532)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertFalse(spec["automountServiceAccountToken"])
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertFalse(security["allowPrivilegeEscalation"])
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})

    def test_every_volume_is_mounted_and_every_mount_has_a_volume(self):
        for built in self.built.values():
            claims = one(built, "StatefulSet")["spec"].get("volumeClaimTemplates") or []
            volumes = {volume["name"] for volume in pod(built)["spec"]["volumes"]} | {claim["metadata"]["name"] for claim in claims}
            mounts = {mount["name"]: mount["mountPath"] for mount in container(built)["volumeMounts"]}
            self.assertEqual(volumes, set(mounts))

    def test_files_that_the_environment_names_lie_in_what_is_mounted(self):
        for chosen, built in self.built.items():
            paths = [mount["mountPath"] for mount in container(built)["volumeMounts"]]
            named = {entry["name"]: entry.get("value", "") for entry in container(built)["env"]}
            files = [value for name, value in named.items() if name.endswith("_FILE")]
            files += [value.removeprefix("file://") for value in named.values() if value.startswith("file://")]
            files.append(container(built)["args"][-1])
            self.assertGreaterEqual(len(files), 3)
            for file in files:
                self.assertTrue(any(file.startswith(f"{path}/") for path in paths), f"{file} is not mounted")
            self.assertEqual(named["STALLWATCH__STATE__URL"].split(":")[0], "s3" if "bucket" in chosen else "file")

    def test_secrets_are_those_that_the_guide_names(self):
        for built in self.built.values():
            secrets = {volume["secret"]["secretName"] for volume in pod(built)["spec"]["volumes"] if "secret" in volume}
            sources = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in container(built)["env"]]
            secrets |= {source["name"] for source in sources if source}
            self.assertLessEqual(secrets, SECRETS)

    def test_each_instance_is_a_member_by_its_pod_s_name(self):
        for built in self.built.values():
            names = [entry for entry in container(built)["env"] if entry["name"] == "STALLWATCH__KAFKA__INSTANCE_ID"]
            self.assertEqual(names[0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name")

    def test_instances_name_and_reach_each_other_and_nobody_else_reaches_the_admin_listener(self):
        for chosen, built in self.built.items():
            policy = one(built, "NetworkPolicy")["spec"]
            rules = {way: [rule for rule in policy[way] if {"protocol": "TCP", "port": "admin"} in rule["ports"]] for way in ("ingress", "egress")}
            if "admin" not in chosen:
                self.assertEqual(rules, {"ingress": [], "egress": []})
                continue
            pods = [{"podSelector": policy["podSelector"]}]
            self.assertEqual([[rule["from"]] for rule in rules["ingress"]], [[pods]])
            self.assertEqual([[rule["to"]] for rule in rules["egress"]], [[pods]])
            env = {entry["name"]: entry for entry in container(built)["env"]}
            self.assertEqual(env["STALLWATCH__ADMIN__LISTEN"]["value"], "0.0.0.0:9464")
            service = one(built, "Service")["metadata"]
            advertised = env["STALLWATCH__ADMIN__ADVERTISED"]["value"]
            self.assertEqual(advertised, f"$(POD_NAME).{service['name']}.$(POD_NAMESPACE).svc:9464")
            # Kubernetes puts in only what stands in front.
            order = list(env)
            for name, field in (("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace")):
                self.assertEqual(env[name]["valueFrom"]["fieldRef"]["fieldPath"], field)
                self.assertLess(order.index(name), order.index("STALLWATCH__ADMIN__ADVERTISED"))

    def test_an_autoscaler_counts_the_instances_alone(self):
        for chosen, built in self.built.items():
            counted = {"keda", "hpa"} & set(chosen)
            self.assertEqual("replicas" in one(built, "StatefulSet")["spec"], not counted)
            for kind in {"keda": ["ScaledObject"], "hpa": ["HorizontalPodAutoscaler"]}.get("".join(counted), []):
                target = one(built, kind)["spec"]["scaleTargetRef"]
                self.assertEqual((target["kind"], target["name"]), ("StatefulSet", "stallwatch"))


class Folder(unittest.TestCase):
    def test_every_file_is_named_by_a_kustomization_and_every_name_is_a_file(self):
        roots = [DEPLOY / "kubernetes", *(DEPLOY / "kubernetes" / "components" / name for name in COMPONENTS)]
        for root in roots:
            entry = documents(root / "kustomization.yaml")[0]
            named = set(entry.get("resources", [])) | {patch["path"] for patch in entry.get("patches", []) if "path" in patch}
            there = {path.name for path in root.glob("*.yaml")} - {"kustomization.yaml"}
            self.assertEqual(named, there, root)
        entry = documents(DEPLOY / "kustomization.yaml")[0]
        for name in entry["configMapGenerator"][0]["files"]:
            self.assertTrue((DEPLOY / name).is_file(), name)

    def test_every_component_is_offered(self):
        entry = (DEPLOY / "kustomization.yaml").read_text(encoding="utf-8")
        there = {path.name for path in (DEPLOY / "kubernetes" / "components").iterdir()}
        self.assertEqual(there, set(COMPONENTS))
        for name in COMPONENTS:
            self.assertIn(f"# - kubernetes/components/{name}\n", entry)

    def test_a_mistake_in_a_manifest_is_noticed(self):
        stateful_set = documents(DEPLOY / "kubernetes" / "stateful-set.yaml")[0]
        self.assertIsNone(schema.problem(stateful_set))
        stateful_set["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
        self.assertIn("imagePolicy", schema.problem(stateful_set))
        scaled = documents(DEPLOY / "kubernetes" / "components" / "keda" / "scaled-object.yaml")[0]
        self.assertIsNone(schema.problem(scaled))
        scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"]["speed"] = 1
        self.assertIn("speed", schema.problem(scaled))


if __name__ == "__main__":
    unittest.main()
