"""The estimates of indexes by collations of ICU, against the truth.

The embedded server has no ICU, so these shapes are made on the first `debian_server` that has it.
Some keys are equal without being the same bytes: the server keeps every one of
those. One database is made by ICU itself, and its text has the collation of the database. Rows,
churns and the comparison are those of index_bloat, with fewer rows. Without such a server nothing
is measured, and the earlier results stay.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Final, LiteralString

from bench._debian_server import debian_server, migrate
from bench.frame import BenchContext, Result
from bench.index_bloat import CHURNS, QUICK_CHURNS, QUICK_ROWS, observe, results
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import Server

ROWS: Final = 20_000

_COLLATIONS: Final[LiteralString] = """
    CREATE COLLATION swedish (provider = icu, locale = 'sv-SE');
    CREATE COLLATION by_number (provider = icu, locale = 'en-u-kn-true');
    CREATE COLLATION whatever_case
        (provider = icu, locale = 'und-u-ks-level2', deterministic = false)
"""
SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "icu_text": 'INDEX {} ON corpus (title COLLATE "und-x-icu")',
        "icu_unique": "UNIQUE INDEX {} ON corpus (email COLLATE swedish)",
        "icu_few_keys": "INDEX {} ON corpus (status COLLATE swedish)",
        "icu_null_heavy": "INDEX {} ON corpus (tag COLLATE by_number)",
        "icu_pair": "INDEX {} ON corpus (status COLLATE swedish, account DESC)",
        "icu_expression": "INDEX {} ON corpus (lower(email) COLLATE swedish)",
        "icu_partial": "INDEX {} ON corpus (title COLLATE swedish) WHERE flag",
        "icu_long": "INDEX {} ON corpus (letter COLLATE swedish)",
        "icu_include": "INDEX {} ON corpus (tag COLLATE swedish) INCLUDE (title)",
        "icu_array": "INDEX {} ON corpus (labels COLLATE swedish)",
        "icu_fillfactor": "INDEX {} ON corpus (title COLLATE swedish) WITH (fillfactor = 70)",
        "icu_equal_few": "INDEX {} ON corpus (status COLLATE whatever_case)",
        "icu_equal_pair": "INDEX {} ON corpus (account, tag COLLATE whatever_case)",
        "icu_equal_unique": "UNIQUE INDEX {} ON corpus (email COLLATE whatever_case, seq)",
        "icu_spgist": "INDEX {} ON corpus USING spgist (title COLLATE swedish)",
        "database": "INDEX {} ON corpus (title)",
        "database_few_keys": "INDEX {} ON corpus (status)",
        "database_pattern": "INDEX {} ON corpus (title text_pattern_ops)",
    }
)


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    chance = random.Random(20_26)
    observations = []
    with _database_with_icu(context) as url:
        if url is None:
            context.log("left out: no server here has ICU; `make versions` unpacks one")
            return
        with connect(url, application="bench") as connection:
            version = connection.info.parameter_status("server_version")
            connection.execute(_COLLATIONS)
            for churn in islice(CHURNS.values(), QUICK_CHURNS if context.is_quick else None):
                seen = observe(connection, churn, rows=rows, chance=chance, shapes=SHAPES)
                observations += seen
                context.log(f"{churn.name}: {len(seen)} indexes")
    size = f"{rows:,} rows, {len(SHAPES)} shapes of indexes, PostgreSQL {version}"
    yield from results("index_bloat_icu", "index bloat estimate, ICU", observations, size)


@contextmanager
def _database_with_icu(context: BenchContext) -> Iterator[str | None]:
    """The URL of a migrated database that ICU sorts, for a block."""
    with debian_server(context, _has_icu) as server:
        yield None if server is None else _migrated(server)


def _has_icu(server: Server) -> bool:
    with connect(server.url(), application="bench") as admin:
        found = admin.execute("SELECT count(*) FROM pg_collation WHERE collprovider = 'i'")
        return bool(one_row(found)[0])


def _migrated(server: Server) -> str:
    with connect(server.url(), application="bench") as admin:
        admin.execute(
            "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            " LOCALE 'C.UTF-8' ENCODING 'UTF8'"
        )
    return migrate(server, "icu")
