"""Each deployment is one that its platform takes, and none of them drifts from the others."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import dagster_k8s.launcher
import kubernetes
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance import DagsterInstance
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.scheduler import DagsterDaemonScheduler
from dagster_postgres.utils import pg_url_from_config
from jsonschema import Draft202012Validator
from psycopg import conninfo
from sqlalchemy import URL

import ft_ops
from ft_ops.orchestration.jobs import own_identity
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.settings.page import environment_file
from tests.production.cloudformation import complaints
from tests.production.policies import IAM, REPOSITORY

DEPLOY = REPOSITORY / "deploy"
PACKAGE = Path(ft_ops.__file__).parent
ROLE_PREFIX = "arn:aws:iam::111122223333:role/familytales-"

KINDS = {
    ("networking.k8s.io/v1", "Ingress"): "V1Ingress",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
}

Yaml = dict[str, Any]


def load(path: Path) -> Yaml:
    loaded: Yaml = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def helm_values() -> Yaml:
    return load(DEPLOY / "kubernetes" / "values.yaml")


def chart_settings(values: Yaml) -> Yaml:
    """The dagster.yaml that the chart makes of its values, but for the storage."""
    daemon = values["dagsterDaemon"]
    assert not any(
        daemon[section]["enabled"] for section in ("runCoordinator", "runMonitoring", "runRetries")
    )
    scheduler = values["scheduler"]
    retries = scheduler["config"]["daemonScheduler"]["maxTickRetries"]
    return {
        "scheduler": {
            "module": "dagster.core.scheduler",
            "class": scheduler["type"],
            "config": {"max_tick_retries": retries},
        },
        "schedules": {"use_threads": True, "num_workers": daemon["schedules"]["numWorkers"]},
        "sensors": {"use_threads": True, "num_workers": daemon["sensors"]["numWorkers"]},
        "telemetry": {"enabled": values["telemetry"]["enabled"]},
        **values["additionalInstanceConfig"],
    }


def settings_of(deployment: str) -> Yaml:
    match deployment:
        case "compose":
            return load(REPOSITORY / "dagster.yaml")
        case "ecs":
            return load(DEPLOY / "ecs" / "dagster.yaml")
    storage = load(REPOSITORY / "dagster.yaml")["storage"]
    return {"storage": storage, **chart_settings(helm_values())}


@pytest.fixture(scope="module")
def dagster_url(server: str, worker_id: str) -> Iterator[str]:
    """The URL of a new database, for Dagster."""
    name = f"ft_dagster_{worker_id}"
    with connect(server, application="tests") as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        parts = conninfo.conninfo_to_dict(server)
        yield URL.create(
            "postgresql+psycopg2",
            username=str(parts["user"]),
            password=str(parts["password"]) if "password" in parts else None,
            database=name,
            query={"host": str(parts["host"]), "port": str(parts.get("port", 5432))},
        ).render_as_string(hide_password=False)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.mark.parametrize("deployment", ["compose", "ecs", "kubernetes"])
def test_dagster_loads_the_settings(
    deployment: str,
    dagster_url: str,
    aws: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FT_DAGSTER_DATABASE_URL", dagster_url)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings_of(deployment)))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert (pools.default_pool_limit, instance.run_monitoring_enabled) == (1, True)
        assert instance.run_monitoring_max_runtime_seconds == 21600
        assert isinstance(instance.scheduler, DagsterDaemonScheduler)
        # A tick is a minute: what the database's absence has spoilt is tried for half an hour.
        assert instance.scheduler.max_tick_retries == 30
        if deployment == "ecs":
            from dagster_aws.ecs import EcsRunLauncher

            assert isinstance(instance.run_launcher, EcsRunLauncher)


@pytest.mark.parametrize("deployment", ["ecs", "kubernetes"])
def test_the_settings_are_those_of_every_other_deployment(deployment: str) -> None:
    only_here = {"run_launcher", "compute_logs"}
    found = {k: v for k, v in settings_of(deployment).items() if k not in only_here}
    assert found == load(REPOSITORY / "dagster.yaml")


def test_the_charts_values_are_ones_that_it_knows() -> None:
    schema = load(DEPLOY / "kubernetes" / "values.schema.json")
    Draft202012Validator.check_schema(schema)
    errors = [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(helm_values())
    ]
    assert errors == []


def test_an_unknown_value_is_noticed() -> None:
    schema = load(DEPLOY / "kubernetes" / "values.schema.json")
    values = helm_values()
    values["runLauncher"]["config"]["k8sRunLauncher"]["envSecret"] = []
    assert not Draft202012Validator(schema).is_valid(values)


def test_kubernetes_launches_a_job_a_run() -> None:
    values = helm_values()["runLauncher"]
    assert values["type"] == "K8sRunLauncher"
    launcher = values["config"]["k8sRunLauncher"]
    config = {
        "service_account_name": helm_values()["global"]["serviceAccountName"],
        "instance_config_map": "ft-ops-dagster-instance",
        "load_incluster_config": launcher["loadInclusterConfig"],
        "image_pull_policy": launcher["imagePullPolicy"],
        "fail_pod_on_run_failure": launcher["failPodOnRunFailure"],
        "resources": launcher["resources"],
        "security_context": launcher["securityContext"],
        # The chart turns these keys into the client's spelling; the nested ones are its own.
        "run_k8s_config": {
            "pod_spec_config": {
                "security_context": {"run_as_non_root": True, "run_as_user": 10001}
            },
            "job_spec_config": {"ttl_seconds_after_finished": 86400},
        },
    }
    from dagster_k8s import K8sRunLauncher

    schema = K8sRunLauncher.config_type()  # type: ignore[no-untyped-call]
    outcome = process_config(schema, config)
    assert outcome.success, outcome.errors


def test_dagsters_storage_on_kubernetes_has_the_driver_that_hears_events() -> None:
    values = helm_values()["postgresql"]
    url = pg_url_from_config(
        {
            "postgres_db": {
                "username": values["postgresqlUsername"],
                "password": "secret",
                "hostname": values["postgresqlHost"],
                "db_name": values["postgresqlDatabase"],
                "port": values["service"]["port"],
                "params": values["postgresqlParams"],
                "scheme": values["postgresqlScheme"],
            }
        }
    )
    assert url.startswith("postgresql+psycopg2://ft_dagster:secret@")


@pytest.mark.xdist_group("cfn-lint")
@pytest.mark.parametrize("template", sorted((DEPLOY / "ecs").glob("stack.yaml")))
def test_the_stack_is_one_that_cloudformation_takes(template: Path) -> None:
    assert complaints(template.read_text()) == []


SETTINGS = {f"FT_{name.upper()}" for name in Settings.model_fields}


def test_the_file_of_settings_has_every_one() -> None:
    """`ft-ops settings --environment > deploy/ft-ops.env.example` writes it anew."""
    assert len(SETTINGS) > 100
    text = (DEPLOY / "ft-ops.env.example").read_text(encoding="utf-8")
    assert text == environment_file()
    assert set(re.findall(r"^#(FT_[A-Z0-9_]+)=", text, flags=re.MULTILINE)) == SETTINGS
    # Whoever copies it and sets nothing has set nothing.
    assert all(line.startswith("#") for line in text.splitlines() if line)


def test_that_file_reaches_every_service_of_compose() -> None:
    services = load(REPOSITORY / "compose.yaml")["services"]
    for name in ("code", "webserver", "viewer", "daemon"):
        assert services[name]["env_file"] == [{"path": "./ft-ops.env", "required": False}]
        # A variable that is named here would win over the file's.
        assert not any(variable in SETTINGS for variable in services[name]["environment"])
    assert "/ft-ops.env\n" in (REPOSITORY / ".gitignore").read_text()


def test_that_file_reaches_every_service_and_run_on_kubernetes() -> None:
    values = helm_values()
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    for part in (deployment, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert {"name": "ft-ops-settings"} in part["envConfigMaps"]
        set_here = {entry["name"] for entry in part.get("env", [])}
        assert set_here & SETTINGS <= {"FT_K8S_SERVICE_ACCOUNT_PREFIX"}
    # Runs are told by the launcher; a deployment's own resources would replace theirs.
    assert deployment["includeConfigInLaunchedRuns"]["enabled"] is False
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert {"name": "ft-ops-settings"} in launcher["envConfigMaps"]
    assert launcher["envSecrets"] == deployment["envSecrets"]
    assert launcher["envVars"] == [f"{one['name']}={one['value']}" for one in deployment["env"]]


def test_that_file_reaches_every_service_and_run_on_ecs() -> None:
    """A run gets the daemon's container, which a launcher copies but for its command."""
    text = (DEPLOY / "ecs" / "stack.yaml").read_text(encoding="utf-8")
    containers = re.findall(r"ContainerDefinitions:\n(.*?)LogConfiguration", text, flags=re.DOTALL)
    assert len(containers) == 3
    for container in containers:
        assert (
            "EnvironmentFiles:\n            - {Type: s3, Value: !Ref SettingsFileArn}" in container
        )
        set_here = set(re.findall(r"Name: (FT_\w+)", container)) & SETTINGS
        assert set_here <= {"FT_DATABASE_URL", "FT_DAGSTER_DATABASE_URL", "FT_ECS_TASK_ROLE_PREFIX"}


@pytest.mark.parametrize("name", ["webserver", "viewer", "daemon"])
def test_only_the_code_server_of_compose_can_reach_the_data(name: str) -> None:
    services = load(REPOSITORY / "compose.yaml")["services"]
    assert services[name]["secrets"] == ["ft_dagster_database_url"]
    assert {"ft_database_url", "aws_secret_access_key"} < set(services["code"]["secrets"])


def test_every_service_of_compose_says_whether_it_is_well() -> None:
    services = load(REPOSITORY / "compose.yaml")["services"]
    # oauth2-proxy's image holds no program that could ask.
    assert {name for name, service in services.items() if "healthcheck" not in service} == {
        "sign-in"
    }


@pytest.mark.parametrize(("path", "is_well"), [("/server_info", True), ("/nothing", False)])
def test_a_web_server_is_asked_directly_whatever_proxy_leads_outside(
    path: str, *, is_well: bool
) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == path else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    kind, _, *asked = load(REPOSITORY / "compose.yaml")["services"]["webserver"]["healthcheck"][
        "test"
    ]
    assert kind == "CMD"
    assert asked[1] in (DEPLOY / "ecs" / "stack.yaml").read_text()
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        done = subprocess.run(
            [sys.executable, asked[0], asked[1].replace("3000", str(server.server_port))],
            env={"http_proxy": "http://127.0.0.1:9", "PATH": os.environ["PATH"]},
            check=False,
        )
        answering.join()
    assert (done.returncode == 0) == is_well


@pytest.mark.parametrize(
    "path", ["compose.yaml", "deploy/ecs/stack.yaml", "deploy/compose/secrets"]
)
def test_each_setting_that_a_deployment_names_is_one(path: str) -> None:
    named = set(re.findall(r"\bFT_[A-Z0-9_]+\b", (REPOSITORY / path).read_text(encoding="utf-8")))
    assert named - {"FT_"} <= SETTINGS


def test_people_get_the_web_server_behind_its_doors() -> None:
    """Kubernetes' chart names dagster-webserver: the image has ours by that name."""
    services = load(REPOSITORY / "compose.yaml")["services"]
    for name in ("webserver", "viewer"):
        assert services[name]["command"][:2] == ["ft-ops", "web"]
    assert "Command: [ft-ops, web, " in (DEPLOY / "ecs" / "stack.yaml").read_text()
    for path in REPOSITORY.glob("deploy/**/*.*"):
        assert "[dagster-webserver, -" not in path.read_text(encoding="utf-8"), path


def test_every_job_with_a_policy_has_an_account_on_kubernetes() -> None:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "service-accounts.yaml").read_text())
    roles = {
        document["metadata"]["name"]: document["metadata"]["annotations"][
            "eks.amazonaws.com/role-arn"
        ]
        for document in documents
        if document["kind"] == "ServiceAccount"
    }
    wanted = {
        f"ft-ops-{path.stem.replace('_', '-')}": ROLE_PREFIX + path.stem
        for path in IAM.glob("*.json")
        if path.stem != "code_server"
    }
    assert roles == wanted
    # The chart makes Dagster's own, and Helm refuses to find it there already.
    values = helm_values()
    assert values["global"]["serviceAccountName"] not in roles
    assert values["serviceAccount"] == {
        "create": True,
        "annotations": {"eks.amazonaws.com/role-arn": f"{ROLE_PREFIX}code_server"},
    }


def test_no_container_on_kubernetes_writes_to_its_image() -> None:
    values = helm_values()
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    for part in (deployment, values["dagsterWebserver"], values["dagsterDaemon"], launcher):
        assert part["securityContext"]["readOnlyRootFilesystem"] is True
        assert [mount["mountPath"] for mount in part["volumeMounts"]] == ["/tmp"]


def test_what_surrounds_the_chart_is_known_to_kubernetes() -> None:
    """By the client's own models, which know every field of these kinds."""
    names = [helm_values()["dagster-user-deployments"]["deployments"][0]["name"]]
    for path in ("network.yaml", "service-accounts.yaml", "ingress.yaml"):
        for document in yaml.safe_load_all((DEPLOY / "kubernetes" / path).read_text()):
            model = getattr(kubernetes.client, KINDS[document["apiVersion"], document["kind"]])
            read = kubernetes.client.ApiClient()._ApiClient__deserialize(document, model)
            written = kubernetes.client.ApiClient().sanitize_for_serialization(read)
            assert written == document
            names.append(document["metadata"].get("namespace"))
    assert set(names) <= {"ft-ops", None}


def test_a_run_is_never_evicted() -> None:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "network.yaml").read_text())
    (budget,) = (d for d in documents if d["kind"] == "PodDisruptionBudget")
    runs = helm_values()["additionalInstanceConfig"]["concurrency"]["runs"]
    assert budget["spec"]["minAvailable"] == runs["max_concurrent_runs"]
    (component,) = budget["spec"]["selector"]["matchLabels"].values()
    assert f'component="{component}"' in inspect.getsource(dagster_k8s.launcher)


def test_a_run_gets_its_jobs_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_identity("purge_archived_content") == {}
    monkeypatch.setenv("FT_ECS_TASK_ROLE_PREFIX", ROLE_PREFIX)
    monkeypatch.setenv("FT_K8S_SERVICE_ACCOUNT_PREFIX", "ft-ops-")
    tags = own_identity("purge_archived_content")

    overrides = json.loads(tags["ecs/task_overrides"])
    assert overrides == {"taskRoleArn": f"{ROLE_PREFIX}purge_archived_content"}
    ecs = boto3.client("ecs", region_name="us-east-1").meta.service_model
    assert set(overrides) <= set(ecs.shape_for("TaskOverride").members)

    from dagster_k8s.job import get_user_defined_k8s_config

    pod = get_user_defined_k8s_config(tags).pod_spec_config
    assert pod == {"service_account_name": "ft-ops-purge-archived-content"}


def test_every_job_with_a_policy_asks_for_its_identity() -> None:
    """By the source: tags are made when the definitions are imported, which takes seconds."""
    asked = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="asset_job"),
                    args=[ast.Constant(value=str(job)), *_],
                    keywords=[ast.keyword(arg="identity", value=ast.Constant(value=True))],
                ):
                    asked.add(job)
    policies = {path.stem for path in IAM.glob("*.json")} - {"code_server"}
    assert asked == policies


def test_compose_keeps_the_services_apart_and_to_this_machine() -> None:
    services = load(REPOSITORY / "compose.yaml")["services"]
    assert {"postgres", "code", "webserver", "viewer", "daemon"} < set(services)
    for name, service in services.items():
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), name
    for name in ("code", "webserver", "viewer", "daemon"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    assert "--read-only" in services["viewer"]["command"]
    assert "proxy" in services["viewer"]["profiles"]


def test_compose_finds_every_secret_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make = [str(DEPLOY / "compose" / "secrets"), str(folder)]
    subprocess.run(make, check=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    named = load(REPOSITORY / "compose.yaml")["secrets"]
    assert {Path(secret["file"]).name for secret in named.values()} == set(made)
    assert f":{made['ops_password']}@" in made["ft_database_url"]
    assert made["ft_dagster_database_url"].startswith("postgresql+psycopg2://")
    assert folder.stat().st_mode & 0o777 == 0o700

    subprocess.run(make, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_composes_services_read_what_it_mounts_of_a_private_checkout(tmp_path: Path) -> None:
    mounted = [
        Path(volume.removeprefix("./").partition(":")[0])
        for service in load(REPOSITORY / "compose.yaml")["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./") and not volume.startswith("./secrets")
    ]
    assert len(mounted) > 3
    for folder in ("sql", "deploy/compose", "deploy/proxy"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    private = [found for path in mounted for found in _with_what_is_in(tmp_path / path)]
    for found in private:
        found.chmod(found.stat().st_mode & 0o700)
    subprocess.run([tmp_path / "deploy/compose/secrets", tmp_path / "secrets"], check=True)
    for found in private:
        assert found.stat().st_mode & 0o004, found
        assert found.is_file() or found.stat().st_mode & 0o001, found


def _with_what_is_in(path: Path) -> list[Path]:
    return [path, *path.rglob("*")]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The programs of an image: each says its arguments and its environment."""
    folder = tmp_path / "venv"
    folder.mkdir()
    for name in ("ft-ops", "dagster", "dagster-daemon", "dagster-webserver"):
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            "print(json.dumps([sys.argv, dict(os.environ)]))\n"
        )
        program.chmod(0o755)
    return folder


def in_the_image(
    programs: Path, secrets: Path, name: str, *arguments: str, **environment: str
) -> tuple[list[str], dict[str, str]]:
    """What a program of the image is given when it is started by its name, as by `exec`."""
    shims = programs.with_name("bin")
    shims.mkdir(exist_ok=True)
    for program in (*programs.iterdir(), Path("with-secrets")):
        if not (shims / program.name).exists():
            (shims / program.name).symlink_to(DEPLOY / "with-secrets")
    shown = subprocess.run(
        [str(shims / name), *arguments],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SECRETS_DIR": str(secrets),
            "PROGRAMS_DIR": str(programs),
            **environment,
        },
        capture_output=True,
        check=True,
        text=True,
    )
    told: tuple[list[str], dict[str, str]] = json.loads(shown.stdout)
    return told


@pytest.mark.parametrize("started", [["ft-ops", "doctor"], ["with-secrets", "ft-ops", "doctor"]])
def test_a_program_gets_the_secrets_however_it_is_started(
    tmp_path: Path, programs: Path, started: list[str]
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "ft_database_url").write_text("postgresql://ft_ops:pa$$ 'w\"ord@db/x\n")
    (secrets / "ft_archive_bucket").write_text("from-the-file")
    (secrets / "aws_access_key_id").write_text("")
    (secrets / "unrelated").write_text("nothing")
    arguments, environment = in_the_image(
        programs,
        secrets,
        *started,
        FT_ARCHIVE_BUCKET="set",
        FT_BACKUP_BUCKET="",
        https_proxy="http://outside:3128",
    )
    assert arguments == [str(programs / "ft-ops"), "doctor"]
    assert environment["FT_DATABASE_URL"] == "postgresql://ft_ops:pa$$ 'w\"ord@db/x"
    assert environment["FT_ARCHIVE_BUCKET"] == "set"
    assert "UNRELATED" not in environment
    # boto3 goes by it, and gRPC between the services must not.
    assert (environment["https_proxy"], environment["grpc_proxy"]) == ("http://outside:3128", "")
    # An empty key would keep boto3 from looking further.
    assert "AWS_ACCESS_KEY_ID" not in environment


def test_dagsters_web_server_of_the_image_is_ours(tmp_path: Path, programs: Path) -> None:
    arguments, _ = in_the_image(programs, tmp_path, "dagster-webserver", "-p", "80")
    assert arguments == [str(programs / "ft-ops"), "web", "-p", "80"]


def test_dagsters_daemon_of_the_image_waits_for_the_one_that_runs(
    tmp_path: Path, programs: Path
) -> None:
    arguments, _ = in_the_image(programs, tmp_path, "dagster-daemon", "run", "-w", "w.yaml")
    assert arguments == [str(programs / "ft-ops"), "daemon", "-w", "w.yaml"]
    arguments, _ = in_the_image(programs, tmp_path, "dagster-daemon", "liveness-check")
    assert arguments == [str(programs / "dagster-daemon"), "liveness-check"]


def test_the_image_puts_them_before_the_real_ones() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "ENV PATH=/opt/ft-ops/bin:/opt/venv/bin:$PATH" in text
    linked = re.search(r"for name in (.+); do", text)
    assert linked is not None
    assert {"ft-ops", "dagster", "dagster-daemon", "dagster-webserver"} == set(linked[1].split())


def test_composes_database_is_born_with_roles_and_passwords(place: Path) -> None:
    subprocess.run([str(DEPLOY / "compose" / "secrets"), str(place / "secrets")], check=True)
    bin_dir = pg.reachable_binaries(pg.embedded_binaries(16), place / "postgres")
    server = pg.Server(bin_dir, place / "data", place / "run")
    script = (DEPLOY / "compose" / "databases.sh").read_text()
    script = script.replace("/run/secrets/", f"{place}/secrets/")
    script = script.replace("/sql/", f"{REPOSITORY}/sql/")
    pg.initialise(server)
    with pg.running(server, stop_mode="immediate"):
        subprocess.run(
            ["bash", "-c", script],
            env={
                "PATH": f"{bin_dir}:{os.environ['PATH']}",
                "PGHOST": str(server.socket_dir),
                "POSTGRES_USER": "postgres",
            },
            check=True,
        )
        with connect(server.url("familytales", user="ft_ops"), application="tests") as connection:
            session = connection.execute(statement("doctor/session")).fetchone()
        assert session is not None
        assert session[:5] == ("ft_ops", False, False, True, "UTF8")
        with connect(server.url(), application="tests") as connection:
            known = connection.execute(
                "SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'"
            ).fetchall()
    assert {row[0] for row in known} == {"ft_ops", "ft_dagster", "ft_app"}
