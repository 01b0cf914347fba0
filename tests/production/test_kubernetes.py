"""What the chart makes of our values: as Kubernetes takes it, and as its other files expect it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes
import pytest
import yaml

from tests.production.policies import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
RENDERED = FOLDER / "rendered.yaml"
KINDS = {
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
}
BROUGHT = {"ft-ops-settings", "ft-ops-database", "ft-ops-dagster-postgresql"}
"""What docs/operations.md has people make before the chart."""

Yaml = dict[str, Any]


def documents(name: str) -> list[Yaml]:
    return list(filter(None, yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))))


def of_kind(kind: str) -> dict[str, Yaml]:
    return {d["metadata"]["name"]: d for d in documents("rendered.yaml") if d["kind"] == kind}


def pods() -> dict[str, Yaml]:
    return {name: d["spec"]["template"] for name, d in of_kind("Deployment").items()}


def instance() -> Yaml:
    text = of_kind("ConfigMap")["ft-ops-dagster-instance"]["data"]["dagster.yaml"]
    loaded: Yaml = yaml.safe_load(text)
    return loaded


def test_what_is_shipped_was_made_of_these_values() -> None:
    """Whoever changes values.yaml renders it anew: the head of rendered.yaml says how."""
    said = re.search(r"^# values: sha256 ([0-9a-f]{64})$", RENDERED.read_text(), re.MULTILINE)
    assert said is not None
    assert said[1] == hashlib.sha256((FOLDER / "values.yaml").read_bytes()).hexdigest()


@pytest.mark.skipif(
    not (shutil.which("helm") and os.environ.get("FT_TEST_DAGSTER_CHART")),
    reason="needs helm, and FT_TEST_DAGSTER_CHART with a folder or archive of Dagster's chart",
)
def test_helm_makes_the_same_of_them() -> None:
    command = ["helm", "template", "ft-ops", os.environ["FT_TEST_DAGSTER_CHART"]]
    command += ["--namespace", "ft-ops", "--values", str(FOLDER / "values.yaml")]
    made = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {(d["kind"], d["metadata"]["name"]) for d in yaml.safe_load_all(made) if d}
    assert found == {(d["kind"], d["metadata"]["name"]) for d in documents("rendered.yaml")}


def test_kubernetes_knows_every_field_of_it() -> None:
    client = kubernetes.client.ApiClient()
    for document in documents("rendered.yaml"):
        model = getattr(kubernetes.client, KINDS[document["kind"]])
        read = client._ApiClient__deserialize(document, model)
        assert without_nothing(client.sanitize_for_serialization(read)) == without_nothing(document)


def without_nothing(value: Any) -> Any:
    """Without empty entries, which the chart writes and Kubernetes drops."""
    if isinstance(value, dict):
        kept = {key: without_nothing(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {}, [])}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


def test_a_pod_refers_to_nothing_that_nobody_makes() -> None:
    maps = of_kind("ConfigMap").keys() | BROUGHT
    accounts = of_kind("ServiceAccount").keys()
    for name, pod in pods().items():
        spec = pod["spec"]
        assert spec["serviceAccountName"] in accounts, name
        for container in spec["containers"]:
            for source in container["envFrom"]:
                for kind in ("configMapRef", "secretRef"):
                    wanted = source.get(kind, {})
                    assert wanted.get("optional") or wanted.get("name") in {None, *maps}, wanted
        for volume in spec["volumes"]:
            assert volume.get("configMap", {}).get("name") in {None, *maps}


def test_a_pod_runs_as_nobody_and_listens_where_nobody_may() -> None:
    for name, pod in pods().items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            for port in container.get("ports", []):
                assert port["containerPort"] >= 1024, name


def test_policies_and_doors_name_what_the_chart_makes() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    web = {"ft-ops-dagster-webserver", "ft-ops-dagster-webserver-read-only"}
    code = {"ft-ops-dagster-user-deployments-ft-ops"}
    _, people, dagster = (
        d["spec"] for d in documents("network.yaml") if "policyTypes" in d["spec"]
    )
    [expression] = people["podSelector"]["matchExpressions"]
    assert {n for n, has in labels.items() if has[expression["key"]] in expression["values"]} == web
    wanted = dagster["podSelector"]["matchLabels"].items()
    assert {name for name, has in labels.items() if wanted <= has.items()} == code
    senders = dagster["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items()
    assert all(senders <= has.items() for has in labels.values())

    services = of_kind("Service")
    [door] = people["ingress"][0]["ports"]
    for rule in (d["spec"]["rules"][0] for d in documents("ingress.yaml")):
        backend = rule["http"]["paths"][0]["backend"]["service"]
        [port] = services[backend["name"]]["spec"]["ports"]
        assert port["port"] == backend["port"]["number"] == door["port"]
    [code_port] = dagster["ingress"][0]["ports"]
    assert services["ft-ops"]["spec"]["ports"][0]["port"] == code_port["port"]


def test_a_run_gets_the_launchers_resources_and_the_code_servers_environment(
    tmp_path: Path,
) -> None:
    """By Dagster's own merging: what a code location says of itself replaces the launcher's."""
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.container_context import K8sContainerContext

    config = {**instance()["run_launcher"]["config"], "load_incluster_config": False}
    cluster = tmp_path / "kubeconfig"
    cluster.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "me", "user": {}}],
            }
        )
    )
    launcher = K8sRunLauncher(**config, kubeconfig_file=str(cluster))
    [container] = pods()["ft-ops-dagster-user-deployments-ft-ops"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    said = json.loads(environment.get("DAGSTER_CONTAINER_CONTEXT") or "{}")
    context = K8sContainerContext.create_for_run(
        dg.DagsterRun(job_name="archive_old_content"), launcher, include_run_tags=True
    ).merge(K8sContainerContext.create_from_config(said))

    run = context.run_k8s_config.container_config
    assert run["resources"] == {
        "limits": {"memory": "2Gi"},
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "20Gi"},
    }
    sources = {
        *(one["config_map_ref"]["name"] for one in run["env_from"] if "config_map_ref" in one),
        *(one["secret_ref"]["name"] for one in run["env_from"] if "secret_ref" in one),
    }
    assert {"ft-ops-settings", "ft-ops-database"} <= sources
    given = {one["name"]: one["value"] for one in run["env"] if "value" in one}
    for name in ("AWS_REGION", "FT_K8S_SERVICE_ACCOUNT_PREFIX"):
        assert given[name] == environment[name]
    assert [mount["mount_path"] for mount in run["volume_mounts"]] == ["/tmp"]
    assert run["security_context"]["read_only_root_filesystem"] is True


def test_the_rendered_settings_are_those_of_values(tmp_path: Path) -> None:
    """What the chart writes beside them is known to the Dagster that is installed here."""
    from dagster._core.instance.config import dagster_instance_config

    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance()))
    loaded, _ = dagster_instance_config(str(tmp_path))
    assert loaded["run_monitoring"]["max_runtime_seconds"] == 21600
    assert loaded["concurrency"]["runs"]["max_concurrent_runs"] == 4
    storage = instance()["run_storage"]["config"]["postgres_db"]
    assert storage["params"]["sslmode"] == "verify-full"
    assert storage["params"]["sslrootcert"].startswith("/etc/ft-ops/certificates/")
    assert (
        "deploy/certificates /etc/ft-ops/certificates"
        in (REPOSITORY / "deploy" / "Dockerfile").read_text()
    )
