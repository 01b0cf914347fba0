"""Looks through the definitions of a masked dump: rows are masked, and definitions are not.

An enumeration's label, a default, a CHECK, a body, a policy or a name can quote a person. What the
project's own migrations say is nobody's, whoever wrote the same word elsewhere.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from psycopg import conninfo

from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import sql_root, statement
from ft_ops.schema import expected_fingerprint, load_migrations
from ft_ops.staging.dump import MaskedServer

_HEADER: Final = re.compile(r"^-- Name: (.*); Type: (.*); Schema: .*; Owner: .*$", re.MULTILINE)
"""The line that pg_restore writes before each object."""
_MAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.IGNORECASE)
_MONTH: Final = re.compile(r"_\d{4}_\d{2}(?!\d)")
_TIME: Final = re.compile(r"[\d :.+-]+")
_END: Final = "-- PostgreSQL database dump complete"
_WORD: Final = re.compile(r"\w+")
_NAME_BYTES: Final = 63
_SECONDS: Final = 600
_OWN: Final = ("roles", "partitions")
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Definition:
    """One object of a dump: ``title`` is its kind and name, ``text`` the title and its SQL."""

    title: str
    text: str


def refuse_in_definitions(
    place: MaskedServer, file: Path, texts: Iterable[str], words: frozenset[str]
) -> None:
    """Refused when an object of the dump quotes one of ``texts``, or anybody's e-mail address.

    The message names the objects, and never a text. ``words`` are PostgreSQL's own.
    """
    looked_for = texts_to_look_for(texts, words)
    # The archive's header has the database's name.
    database = str(conninfo.conninfo_to_dict(place.url)["dbname"])
    objects = [*definitions(_as_sql(place, file)), Definition(f"DATABASE {database}", database)]
    found = sorted(set(_titles(objects, looked_for)))
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise Refused(
            "the masked dump",
            cause=f"a person's text is in the definition of {', '.join(found[:_NAMED])}{more}",
            next_step="take it out there (a label, a default, a constraint, a body, a name); "
            "nothing was handed out",
        )


def words_of_postgresql(connection: Connection) -> frozenset[str]:
    """Keywords and names of types, functions, settings and extensions, in lower case."""
    return frozenset(
        word for (name,) in connection.execute(statement("staging/own_words")) for word in _of(name)
    )


def definitions(text: str) -> Iterator[Definition]:
    """The objects of a dump's SQL. What precedes the first is pg_restore's own."""
    parts = _HEADER.split(text.rpartition(_END)[0])
    for name, kind, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        yield Definition(f"{kind} {name}", f"{name}\n{body}")


def texts_to_look_for(texts: Iterable[str], words: frozenset[str]) -> dict[str, str]:
    """Each text as a definition would write it → the text, without those that our own have."""
    found = {}
    for text in texts:
        if not _is_ours(text.lower(), words):
            found.update(dict.fromkeys(_forms(text), text))
    return found


def _titles(objects: Iterable[Definition], looked_for: Mapping[str, str]) -> Iterator[str]:
    listed = list(objects)
    everything = "\n".join(one.text for one in listed).lower()
    possible = [form for form in looked_for if form in everything]
    for one in listed:
        lowered = one.text.lower()
        quoted = [form for form in possible if form in lowered and _is_apart(form, lowered)]
        mails = [mail for mail in _MAIL.findall(one.text) if mail.lower() not in _our_text()]
        if quoted or mails:
            yield _without(one.title, [*quoted, *mails])


def _without(title: str, texts: Iterable[str]) -> str:
    for text in texts:
        title = re.sub(re.escape(text), "…", title, flags=re.IGNORECASE)
    return title


def _forms(text: str) -> set[str]:
    """In lower case: as it is, within quotes of two kinds, and cut as a name is."""
    lowered = text.lower()
    cut = lowered.encode()[:_NAME_BYTES].decode(errors="ignore")
    forms = {
        form for one in (lowered, cut) for form in (one, _doubled(one, "'"), _doubled(one, '"'))
    }
    return forms | {form.replace("\\", "\\\\") for form in forms}


def _doubled(text: str, mark: str) -> str:
    return text.replace(mark, mark * 2)


def _is_apart(form: str, text: str) -> bool:
    """Whether it stands by itself, and is no piece of a longer word."""
    return re.search(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", text) is not None


def _is_ours(lowered: str, words: frozenset[str]) -> bool:
    return (
        (_TIME.fullmatch(lowered) is not None and ":" in lowered)
        or _MONTH.sub("", lowered) in _our_text()
        or words.issuperset(_of(lowered))
    )


def _of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@cache
def _our_text() -> str:
    """All that the migrations say and make, in lower case."""
    parts = [migration.up for migration in load_migrations()]
    for folder in _OWN:
        parts += [path.read_text("utf-8") for path in sorted((sql_root() / folder).glob("*.sql"))]
    for name, aspects in expected_fingerprint().items():
        parts += [json.dumps(name), *aspects.values()]
    return "\n".join(parts).lower()


def _as_sql(place: MaskedServer, file: Path) -> str:
    sections = ("--section=pre-data", "--section=post-data")
    done = subprocess.run(
        [place.server.bin_dir / "pg_restore", *sections, "--file=-", file],
        capture_output=True,
        check=False,
        env=pg.program_environment(),
        cwd="/",
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise OpsError(
            "the masked dump",
            cause=f"pg_restore can't read it: {done.stderr.decode(errors='replace').strip()}",
            next_step="see that pg_restore runs here; nothing was handed out",
        )
    return done.stdout.decode(errors="replace")
