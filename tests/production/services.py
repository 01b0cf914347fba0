"""A deployment's services as processes of this machine, started by what its own files say."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PROGRAMS = Path(sys.executable).parent
"""Where the packages of the lock are installed, as the page installs them."""

_SECONDS = 600
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
_STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@dataclass(frozen=True, slots=True)
class Service:
    """One process, and the command that says whether it is well."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health: Sequence[str]

    def is_well(self) -> bool:
        """As a supervisor asks."""
        asked = subprocess.run(
            self.health, env=self.environment, capture_output=True, check=False, timeout=60
        )
        return asked.returncode == 0


@dataclass(frozen=True, slots=True)
class Ui:
    """The web server, asked as its own pages ask it."""

    port: int

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of a query or mutation."""
        own = f"http://127.0.0.1:{self.port}"
        request = Request(
            f"{own}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json", "Origin": own, "Sec-Fetch-Site": "same-origin"},
        )
        with urlopen(request, timeout=120) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        data: dict[str, Any] = found["data"]
        return data

    def launch(self, job: str, config: Mapping[str, Any] | None = None, **tags: str) -> str:
        """Launch a job and wait for its end; how it ended. ``tags`` are of Dagster's own kind."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "ft_ops",
            "jobName": job,
        }
        parameters = {
            "selector": selector,
            "runConfigData": config or {},
            "executionMetadata": {
                "tags": [{"key": f"dagster/{k}", "value": v} for k, v in tags.items()]
            },
        }
        launched = self.ask(_LAUNCH, params=parameters)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            status = str(self.ask(_STATUS, id=launched["run"]["runId"])["runOrError"].get("status"))
            if status in {"SUCCESS", "FAILURE", "CANCELED"}:
                return status
            time.sleep(0.5)
        raise AssertionError(f"{job} did not end: {status}")


@dataclass(slots=True)
class Ports:
    """A free port for each that a file names."""

    chosen: dict[str, str] = field(default_factory=dict)

    def free(self, named: str) -> str:
        """The port that takes the place of the named one."""
        if named not in self.chosen:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.chosen[named] = str(probe.getsockname()[1])
        return self.chosen[named]

    def in_words(self, words: Sequence[str]) -> list[str]:
        """A command with its ports exchanged."""
        return [self.free(word) if word in {"3000", "4000"} else word for word in words]

    def in_text(self, text: str) -> str:
        """A text with its ports exchanged."""
        for named in ("3000", "4000"):
            text = text.replace(named, self.free(named))
        return text


@contextmanager
def running(services: Sequence[Service], logs: Path) -> Iterator[None]:
    """The services, started in turn once the one before is well, and ended after the block."""
    with ExitStack() as ending:
        for service in services:
            log = ending.enter_context((logs / f"{service.name}.log").open("w+"))
            process = subprocess.Popen(
                service.command,
                env=service.environment,
                cwd=logs,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            ending.callback(_end, process)
            deadline = time.monotonic() + _SECONDS
            while not service.is_well():
                said = Path(log.name).read_text()[-4000:]
                assert process.poll() is None, f"{service.name} ended: {said}"
                assert time.monotonic() < deadline, f"{service.name} is not well: {said}"
                time.sleep(0.5)
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30)
    # Runs that it launched are processes of its group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def outside_environment() -> dict[str, str]:
    """What a service manager gives to a process: nothing of whoever runs the tests."""
    return {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def entries(unit: Path, name: str) -> list[str]:
    """The values that a systemd unit gives to a name, in order."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == name]


def environment_entries(path: Path) -> dict[str, str]:
    """What systemd and compose read of a file of variables."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def by_systemd(root: Path, unit: Path, ports: Ports, health: Sequence[str]) -> Service:
    """The service of a unit that was installed below ``root``."""
    credentials = root / "run" / "credentials" / unit.stem
    credentials.mkdir(parents=True)
    for entry in entries(unit, "LoadCredential"):
        name, _, source = entry.partition(":")
        shutil.copy(root / source.lstrip("/"), credentials / name)
    environment = outside_environment()
    for entry in entries(unit, "Environment"):
        name, value = entry.split("=", 1)
        environment[name] = f"{root}{value}" if value.startswith("/") else value
    environment["SECRETS_DIR"] = str(credentials)
    (settings,) = entries(unit, "EnvironmentFile")
    environment |= environment_entries(root / settings.lstrip("-/"))
    (line,) = entries(unit, "ExecStart")
    command = [f"{root}{w}" if w.startswith("/") else w for w in shlex.split(line)]
    environment["PATH"] = f"{root}/opt/ft-ops/bin:{environment['PATH']}"
    return Service(unit.stem, ports.in_words(command), environment, ports.in_words(health))


@dataclass(frozen=True, slots=True)
class Compose:
    """The services of compose.yaml, in an image whose files lie below ``root``."""

    root: Path
    file: Mapping[str, Any]
    secrets: Path
    settings: Path
    ports: Ports

    def in_order(self, *profiles: str) -> list[str]:
        """Dagster's services, each after those that it waits for."""
        services = self.file["services"]
        chosen = [n for n, s in services.items() if not set(s.get("profiles", ())) - set(profiles)]
        order: list[str] = []
        while len(order) < len(chosen):
            order += [
                name
                for name in chosen
                if name not in order and set(services[name].get("depends_on", ())) <= {*order}
            ]
        return [name for name in order if "env_file" in services[name]]

    def environment(self, name: str) -> dict[str, str]:
        """The variables of the image, of the file and of the service, and its own secrets."""
        service = self.file["services"][name]
        folder = self.root / "run" / name / "secrets"
        folder.mkdir(parents=True, exist_ok=True)
        for secret in service["secrets"]:
            shutil.copy(self.secrets / Path(self.file["secrets"][secret]["file"]).name, folder)
        (settings,) = service["env_file"]
        assert Path(settings["path"]).name == self.settings.name
        own = {
            key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for key, value in service["environment"].items()
        }
        return {
            **outside_environment(),
            "PATH": f"{self.root}/opt/ft-ops/bin:{PROGRAMS}:{os.environ['PATH']}",
            "DAGSTER_HOME": f"{self.root}/opt/dagster",
            "SECRETS_DIR": str(folder),
            "PROGRAMS_DIR": str(PROGRAMS),
            **environment_entries(self.settings),
            **own,
        }

    def service(self, name: str) -> Service:
        """A service by its command, behind the image's entrypoint, and its health check."""
        service = self.file["services"][name]
        kind, *health = service["healthcheck"]["test"]
        assert kind == "CMD"
        workspace = f"{self.root}/etc/dagster/workspace.yaml"
        command = [
            workspace if word == "/etc/dagster/workspace.yaml" else word
            for word in service["command"]
        ]
        return Service(
            name,
            [f"{self.root}/usr/local/bin/with-secrets", *self.ports.in_words(command)],
            self.environment(name),
            [self.ports.in_text(word) for word in health],
        )
