"""The program that checks an archive without PostgreSQL, and how we use its digest ourselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from psycopg import sql

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.source import Source
from ft_ops.archive.run import Run
from ft_ops.archive.store import verify_archive
from ft_ops.archive.store.parquet import arrow_connection
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.errors import Refused
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import put_once


def put_program(bucket: Bucket, prefix: str) -> str:
    """Put the program beside the manifests, once for each of its versions; its key."""
    body = Path(verify_archive.__file__).read_bytes()
    name = f"verify_archive-{hashlib.sha256(body).hexdigest()[:16]}.py"
    key = f"{prefix}/table=manifest/{name}"
    # It lies there already: its name is its content's.
    with suppress(Refused):
        put_once(bucket, key, body)
    return key


def other_values(known: Mapping[str, str] | None, found: Mapping[str, str]) -> list[str]:
    """In words, which tables' values are not those that were exported.

    ``known`` is what the export noted of each table, None of an archive by an earlier version.
    """
    return [
        f"{name}: its values are {found.get(name)}, exported were {exported}"
        for name, exported in (known or {}).items()
        if found.get(name) != exported
    ]


def is_proven_by_values(run: Run, generation: Generation, copy: Source) -> bool:
    """Whether loaded rows have the values that were exported, whatever text the server makes.

    False where the same major version proved them: then its own digest decides.
    """
    software = (generation.certificate or {}).get("software")
    proven_by = software.get("postgresql", "") if isinstance(software, Mapping) else ""
    here = str(run.connection.info.server_version // 10000)
    if generation.sha256 is None or str(proven_by)[:-4] == here:
        return False
    found: dict[str, str] = {}
    with arrow_connection(run.url) as arrow, arrow.cursor() as cursor:
        for table in generation.require_content():
            digest = RowDigest()
            columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.stored)
            query = sql.SQL("SELECT {} FROM {}").format(columns, copy[table.name])
            cursor.execute(query.as_string())
            for batch in run.pace.steps(cursor.fetch_record_batch()):
                digest.add(batch)
            found[table.name] = str(digest)
    problems = other_values(generation.sha256, found)
    for problem in problems:
        run.log(problem)
    return not problems
