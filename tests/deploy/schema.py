"""Whether a resource is one: by the schemas of Kubernetes, else by those in schemas/."""

import copy

import jsonschema
import kubernetes_validate

from files import PROJECT, documents

KUBERNETES = "1.32"


def own():
    """The schemas of resources that operators bring, by kind."""
    found = {}
    for path in (PROJECT / "tests" / "deploy" / "schemas").glob("*.yaml"):
        document = documents(path)[0]
        definitions = document.pop("$defs")
        for kind, schema in document.items():
            found[kind] = {**schema, "$defs": definitions}
    return found


OWN = own()


def problem(resource):
    """What is wrong with a resource; None when nothing is."""
    if resource["kind"] in OWN:
        try:
            jsonschema.validate(resource, OWN[resource["kind"]])
        except jsonschema.ValidationError as error:
            return f"{resource['kind']} {'/'.join(map(str, error.absolute_path))}: {error.message}"
        return behaviour(resource)
    try:
        kubernetes_validate.validate(copy.deepcopy(resource), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{resource['kind']} {'/'.join(map(str, error.path))}: {error.message}"
    return None


def behaviour(resource):
    """What KEDA hands on to the autoscaler, checked as a part of one."""
    advanced = resource.get("spec", {}).get("advanced", {})
    handed_on = advanced.get("horizontalPodAutoscalerConfig", {}).get("behavior") if resource["kind"] == "ScaledObject" else None
    if handed_on is None:
        return None
    return problem({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "of-keda"},
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "x"}, "maxReplicas": 1, "behavior": handed_on},
    })
