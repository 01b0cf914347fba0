"""The estimates of index bloat against the truth: a real REINDEX of every index of a corpus."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.maintenance.indexes import index_states
from ft_ops.maintenance.probe import probe_btree
from ft_ops.pg.connect import Connection

SHAPES: Final[Mapping[str, str]] = {
    "unique_uuid": "UNIQUE {t} (id)",
    "unique_sequence": "UNIQUE {t} (seq)",
    "unique_text": "UNIQUE {t} (email)",
    "unique_pair": "UNIQUE {t} (account, seq)",
    "unique_partial": "UNIQUE {t} (seq) WHERE flag",
    "dup_int": "{t} (account)",
    "dup_text_few": "{t} (status)",
    "dup_bool": "{t} (flag)",
    "dup_skewed": "{t} (skewed)",
    "dup_uuid": "{t} (owner)",
    "dup_date": "{t} (day)",
    "distinct_time": "{t} (happened)",
    "time_desc": "{t} (happened DESC)",
    "score_desc_nulls_last": "{t} (score DESC NULLS LAST)",
    "multi_account_time_desc": "{t} (account, happened DESC)",
    "multi_status_account": "{t} (status, account)",
    "multi_three": "{t} (status, flag, day)",
    "partial_rare": "{t} (happened) WHERE status = 'held'",
    "partial_dup": "{t} (account) WHERE status = 'open'",
    "partial_not_null": "{t} (tag) WHERE tag IS NOT NULL",
    "null_heavy": "{t} (tag)",
    "null_heavy_pair": "{t} (tag, score)",
    "expression_lower": "{t} (lower(email))",
    "expression_json": "{t} ((doc ->> 'kind'))",
    "expression_date": "{t} (((happened AT TIME ZONE 'UTC')::date))",
    "wide_text": "{t} (wide)",
    "medium_text": "{t} (title)",
    "text_pattern": "{t} (title text_pattern_ops)",
    "collated": "{t} (tag COLLATE \"C\", account)",
    "numeric": "{t} (amount)",
    "float": "{t} (ratio)",
    "include": "{t} (account) INCLUDE (score, title)",
    "fillfactor_70": "{t} (account, day) WITH (fillfactor = 70)",
    "no_deduplication": "{t} (account) WITH (deduplicate_items = off)",
    "array": "{t} (labels)",
}

_FILL = """
INSERT INTO {t}
SELECT
    gen_random_uuid(), g, (random() * {n} / 20)::int,
    (ARRAY['open', 'closed', 'closed', 'closed', 'waiting', 'waiting'])[1 + (random() * 5)::int],
    random() < 0.1,
    (power(random(), 6) * {n})::int,
    ('00000000-0000-0000-0000-' || lpad(((random() * {n} / 8)::int)::text, 12, '0'))::uuid,
    date '2020-01-01' + (g * 1000 / {n})::int,
    timestamptz '2020-01-01' + g * interval '37 seconds',
    CASE WHEN random() < 0.5 THEN (random() * 1000)::int END,
    CASE WHEN random() < 0.06 THEN 'tag ' || (random() * 200)::int END,
    'person' || g || '@' || substr(md5(random()::text), 1, 1 + (random() * 20)::int) || '.example',
    substr(repeat(md5(random()::text), 4), 1, 10 + (random() * 100)::int),
    CASE WHEN random() < 0.15 THEN substr((
        SELECT string_agg(md5(g::text || s || random()), '') FROM generate_series(1, 25) s
    ), 1, 200 + (random() * 600)::int) END,
    (random() * 100000)::numeric(12, 2), random() * 10,
    jsonb_build_object('kind', (ARRAY['a', 'bb', 'a longer kind'])[1 + (random() * 2)::int]),
    ARRAY['x' || (random() * 50)::int, 'y']
FROM generate_series(1, {n}) AS g ORDER BY {order}
"""
_TABLE = """
CREATE UNLOGGED TABLE {t} (
    id uuid, seq bigint, account integer, status text, flag boolean, skewed integer, owner uuid,
    day date, happened timestamptz, score integer, tag varchar(40), email text, title text,
    wide text, amount numeric(12, 2), ratio float8, doc jsonb, labels text[]
) WITH (autovacuum_enabled = off)
"""
_RARE = "UPDATE {t} SET status = 'held' WHERE seq % 60 = 7"


def _make(c: Connection, table: str, rows: int, *, random_order: bool) -> None:
    t = table
    c.execute(_TABLE.format(t=t))
    fill = _FILL.format(t=t, n=rows, order="random()" if random_order else "g")
    if not random_order:
        c.execute(fill)
        c.execute(_RARE.format(t=t))
        c.execute(f"VACUUM {t}")
    for name, shape in SHAPES.items():
        unique = "UNIQUE " if shape.startswith("UNIQUE") else ""
        body = shape.removeprefix("UNIQUE ").format(t=t)
        c.execute(f"CREATE {unique}INDEX {t}_{name} ON {body}")
    if random_order:
        c.execute(fill)
        c.execute(_RARE.format(t=t))
    c.execute(f"VACUUM ANALYZE {t}")


def fresh(c, t): pass
def random_deletes(c, t):
    c.execute(f"DELETE FROM {t} WHERE random() < 0.6"); c.execute(f"VACUUM ANALYZE {t}")
def range_delete(c, t):
    c.execute(f"DELETE FROM {t} WHERE seq < (SELECT max(seq) * 0.7 FROM {t})"); c.execute(f"VACUUM ANALYZE {t}")
def updates(c, t):
    for _ in range(2):
        c.execute(f"UPDATE {t} SET account = account + 1, score = score + 1, happened = happened + interval '1 day', day = day + 1, title = title || 'x', amount = amount + 1, ratio = ratio + 1 WHERE random() < 0.5")
        c.execute(f"VACUUM {t}")
    c.execute(f"ANALYZE {t}")
def not_vacuumed(c, t):
    c.execute(f"DELETE FROM {t} WHERE random() < 0.4"); c.execute(f"ANALYZE {t}")
def stale(c, t):
    c.execute(f"DELETE FROM {t} WHERE random() < 0.4"); c.execute("SELECT pg_stat_force_next_flush()")
CH = {"fresh": (False, fresh), "random_order": (True, fresh), "random_deletes": (False, random_deletes), "range_delete": (False, range_delete), "updates": (False, updates), "not_vacuumed": (False, not_vacuumed), "stale": (False, stale)}

def run(c, rows, churns):
    out = []
    for churn in churns:
        rnd, f = CH[churn]
        c.execute("DROP TABLE IF EXISTS corpus"); t0=time.time()
        _make(c, "corpus", rows, random_order=rnd); t1=time.time()
        f(c, "corpus"); t2=time.time()
        est = {}
        ch = random.Random(1)
        for s in index_states(c):
            if s.table_name == "corpus":
                a=time.time(); est[s.name] = (s, probe_btree(c, s, ch), time.time()-a)
        t3=time.time()
        live = c.execute("select count(*) from corpus").fetchone()[0]
        for name, (s, p, sec) in est.items():
            c.execute(sql.SQL("REINDEX INDEX {}").format(s.identifier))
            new, tup = c.execute("SELECT pg_relation_size(%s::regclass), (select reltuples from pg_class where oid=%s::regclass)", (name,name)).fetchone()
            out.append((churn, name, s.bytes, p.bytes, new, s.tuples, tup, s.live_rows, s.table_tuples, sec))
        print(churn, f"make {t1-t0:.1f} churn {t2-t1:.1f} probe {t3-t2:.1f} reindex {time.time()-t3:.1f}", flush=True)
    return out

if __name__ == "__main__":
    import sys, os
    from ft_ops.pg.connect import connect
    with connect(os.environ["FT_DATABASE_URL"], application="bench") as c:
        out = run(c, int(sys.argv[1]), sys.argv[2].split(",") if len(sys.argv) > 2 else list(CH))
    errs = {}
    for churn, name, old, p, new, t_i, t_new, live, tt, sec in out:
        e = 100*abs((1-p/old)-(1-new/old)); rel = 100*(p/new-1)
        errs.setdefault(churn, []).append(e)
        flag = "***" if e>2 else ""
        print(f"{churn:15} {name[7:]:24} old {old/8192:7.0f} est {p/8192:7.0f} new {new/8192:7.0f} err {e:6.2f} rel {rel:6.2f}% T {t_i/max(t_new,1):6.3f} live {live/max(t_new,1):6.3f} {sec*1000:5.0f}ms {flag}")
    for k,v in errs.items():
        v.sort(); print(k, f"median {statistics.median(v):.2f} p90 {v[int(len(v)*.9)]:.2f} max {v[-1]:.2f}")
