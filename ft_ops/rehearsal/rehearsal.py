"""An upgrade of last night's copy to the next major version, from the first byte to a certificate.

The copy is restored and recovered as a drill does it, upgraded by hard links within its own folder,
started by the new version's programs, and held against what it was. The live server is asked for
its settings, slots and standbys, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from psycopg import conninfo

from ft_ops.backups import (
    Beside,
    RestoredServer,
    Workplace,
    claim_for,
    compare_with_point,
    isolated,
    read_beside,
    restored_server,
    what_holds_it,
    write_rehearsal,
)
from ft_ops.health import Parameters, sample_parameters
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.server import Server
from ft_ops.rehearsal.certificate import Rehearsal, Seconds, SizeChange, certificate
from ft_ops.rehearsal.differences import (
    ReadTables,
    differences_beside,
    differences_of_content,
    differences_of_other_tables,
    read_unknown_tables,
)
from ft_ops.rehearsal.findings import RehearsalFinding
from ft_ops.rehearsal.known import (
    Known,
    KnownSetting,
    changed_defaults,
    read_known,
    read_settings,
    version_of,
)
from ft_ops.rehearsal.look import (
    INVALID_INDEX,
    Live,
    Ordered,
    look_after,
    look_at_cluster,
    look_at_collations,
    look_at_live,
    of_live,
    size_of,
)
from ft_ops.rehearsal.measure import Measured, changes, measure
from ft_ops.rehearsal.programs import new_programs
from ft_ops.rehearsal.upgrade import Upgrade
from ft_ops.rehearsal.upkeep import keep_up

SPARE_BYTES: Final = 1 << 30
"""Room beside the copy: the new version's catalog and log, and pg_upgrade's own files."""

_VISITORS: Final = 20
_SEED: Final = 1
_PATIENCE: Final = {"statement_timeout": "2h", "enable_parallel_hash": "off"}

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RehearsalRules:
    """How it is done: ``bin_dir`` holds the new version's programs, None for the embedded ones."""

    bin_dir: Path | None
    app_role: str
    timeout_seconds: float


def rehearse_upgrade(
    work: Workplace, at: str, rules: RehearsalRules, log: Log
) -> tuple[Rehearsal, str]:
    """Rehearse on the copy at a point; returns what it came to, and the certificate's address.

    ``at`` is a backup's name, a moment, or empty for the newest. An OpsError, and no certificate,
    where something kept it from being held: that says nothing about the upgrade.
    """
    new_programs(rules.bin_dir, work.connection.info.server_version // 10_000)
    live = look_at_live(work.connection)
    claim_for(work, "rehearses an upgrade")
    with restored_server(work, at, log, spare_bytes=SPARE_BYTES) as copy:
        rehearsal = rehearse_on(copy, live, rules, log)
    now = datetime.now(UTC)
    address = write_rehearsal(work.bucket, rehearsal.point, now, certificate(rehearsal))
    log(rehearsal.sentence)
    return rehearsal, address


def rehearse_on(copy: RestoredServer, live: Live, rules: RehearsalRules, log: Log) -> Rehearsal:
    """The same on a copy that runs; it is stopped, and its files are the new version's then."""
    old_major = copy.point.server_version // 10_000
    programs = new_programs(rules.bin_dir, old_major)
    new = Server(
        bin_dir=pg.reachable_binaries(programs, copy.folder / "programs"),
        data_dir=copy.folder / "upgraded",
        socket_dir=copy.folder / "u",
    )
    names = conninfo.conninfo_to_dict(copy.admin_url)
    places = _Places(
        copy,
        new,
        database=str(names["dbname"]),
        superuser=str(names["user"]),
        operations=str(conninfo.conninfo_to_dict(copy.url)["user"]),
    )
    upgrade = Upgrade(
        copy.server, new, copy.folder, places.superuser, copy.control, rules.timeout_seconds
    )
    upgrade.make_new(copy.settings)
    known = _known(places, old_major)
    log(f"the new version is {known.version}")
    before = _see(places, live, known, rules)
    findings = [*before.findings, *of_live(live, known)]
    return _upgraded(places, upgrade, known, before, findings, live, rules, log)


@dataclass(frozen=True, slots=True)
class _Places:
    """Both servers, and the names by which they are entered."""

    copy: RestoredServer
    new: Server
    database: str
    superuser: str
    operations: str

    def of_new(self, *, as_superuser: bool = False) -> str:
        return self.new.url(self.database, user=self.superuser if as_superuser else self.operations)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of the old version before it was stopped."""

    version: str
    settings: Mapping[str, KnownSetting]
    beside: Beside
    tables: ReadTables
    visitors: list[Parameters]
    measured: Mapping[str, Measured]
    bytes: int
    ordered: Mapping[str, Ordered]
    findings: list[RehearsalFinding]

    @property
    def left_out(self) -> list[str]:
        """Indexes that are not valid, by name: pg_upgrade leaves them behind."""
        return [
            finding.subject.partition(".")[2]
            for finding in self.findings
            if finding.kind == INVALID_INDEX
        ]


def _known(places: _Places, old_major: int) -> Known:
    with (
        isolated(places.new, places.copy.folder),
        connected(
            places.new.url("postgres", user=places.superuser), application="rehearsal"
        ) as connection,
    ):
        known = read_known(connection, old_major)
        pg.stop(places.new)
    return known


def _see(places: _Places, live: Live, known: Known, rules: RehearsalRules) -> _Seen:
    copy = places.copy
    findings = look_at_cluster(copy.server, places.superuser, places.database, known)
    with connected(copy.url, application="rehearsal", settings=_PATIENCE) as connection:
        return _Seen(
            version=version_of(connection),
            settings=read_settings(connection),
            beside=read_beside(connection),
            tables=read_unknown_tables(connection, copy.point),
            visitors=(visitors := sample_parameters(connection, _VISITORS, Random(_SEED))),
            measured=_measured(copy.url, visitors, live, known, rules),
            bytes=size_of(connection),
            ordered=look_at_collations(copy.server, places.superuser, places.database),
            findings=findings,
        )


def _upgraded(
    places: _Places,
    upgrade: Upgrade,
    known: Known,
    before: _Seen,
    findings: list[RehearsalFinding],
    live: Live,
    rules: RehearsalRules,
    log: Log,
) -> Rehearsal:
    copy = places.copy
    own = {setting.name for setting in live.settings}
    refused = Rehearsal(
        old_version=before.version,
        new_version=known.version,
        point=copy.point.name,
        source=copy.source,
        findings=tuple(findings),
        held_by=what_holds_it(),
        defaults=tuple(changed_defaults(before.settings, known.settings, own)),
    )
    stop = _took(lambda: pg.stop(copy.server))
    findings += upgrade.check()
    if any(finding.weight in {"refuses", "unknown"} for finding in findings):
        return _replaced(refused, findings)
    seconds, failed = upgrade.run()
    if failed:
        return _replaced(refused, [*findings, *failed])
    log(f"pg_upgrade took {seconds:.1f} s")
    began = time.monotonic()
    with isolated(places.new, copy.folder), _connected(places.of_new()) as connection:
        connection.execute("SELECT 1")
        start = time.monotonic() - began
        first = _measured(places.of_new(), before.visitors, live, known, rules)
        findings += look_after(places.new, places.superuser, places.database, known, before.ordered)
        examined = compare_with_point(connection, copy.point)
        findings += differences_of_content(examined)
        findings += differences_of_other_tables(
            before.tables, read_unknown_tables(connection, copy.point)
        )
        findings += differences_beside(before.beside, read_beside(connection), before.left_out)
        began = time.monotonic()
        findings += keep_up(places.of_new(as_superuser=True))
        analyze = time.monotonic() - began
        after = _measured(places.of_new(), before.visitors, live, known, rules)
        bytes_after = size_of(connection)
        pg.stop(places.new)
    return _replaced(
        refused,
        findings,
        queries=changes(before.measured, first, after),
        seconds=Seconds(stop, seconds, start, analyze),
        sizes=SizeChange(before.bytes, bytes_after),
        tables=examined.examined,
        rows=copy.point.rows + sum(found.rows for found in before.tables.tables.values()),
    )


def _replaced(
    rehearsal: Rehearsal, findings: list[RehearsalFinding], **values: object
) -> Rehearsal:
    return replace(rehearsal, findings=tuple(findings), **values)  # type: ignore[arg-type]


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    with connected(url, application="rehearsal", settings=_PATIENCE) as connection:
        yield connection


def _measured(
    url: str, visitors: list[Parameters], live: Live, known: Known, rules: RehearsalRules
) -> Mapping[str, Measured]:
    """With the live server's own settings of the planner, as far as the new version takes them."""
    if not visitors:
        return {}
    settings = {
        name: value
        for name, value in live.planners.items()
        if known.problem_with(name, value) is None
    }
    settings["default_transaction_read_only"] = "on"
    with connected(url, application="rehearsal", settings=settings) as connection:
        return measure(connection, visitors, rules.app_role)


def _took(step: Callable[[], None]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began
