"""The same rows kept in months or in one table without partitions, for benchmarks to compare.

The one table has what the partitioned one has: indexes, constraints, policies, triggers and
rights. The audit log stays partitioned. The helper functions of the queries read it by way of the
registry of keys, as they do months, until `read_plainly` makes them read it as one would who never
had months: by the table's own indexes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from psycopg import conninfo, sql

from bench.frame import BenchContext
from bench.frame.load import prepare_load
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row

ONE_TABLE: Final = """
DO $one_table$
DECLARE
    policy record;
    step text;
BEGIN
    ALTER TABLE content_segments RENAME TO content_segments_partitioned;
    CREATE TABLE content_segments (LIKE content_segments_partitioned INCLUDING ALL);
    INSERT INTO content_segments OVERRIDING SYSTEM VALUE SELECT * FROM content_segments_partitioned;
    ALTER TABLE content_segments ENABLE ROW LEVEL SECURITY;
    GRANT SELECT, INSERT, UPDATE, DELETE ON content_segments TO ft_app;
    FOR policy IN
        SELECT
            polname,
            CASE polcmd
                WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
            END AS command,
            coalesce('USING (' || pg_get_expr(polqual, polrelid) || ')', '') AS sees,
            coalesce('WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '') AS writes
        FROM pg_policy
        WHERE polrelid = 'content_segments_partitioned'::regclass
    LOOP
        EXECUTE format(
            'CREATE POLICY %I ON content_segments FOR %s %s %s',
            policy.polname, policy.command, policy.sees, policy.writes
        );
    END LOOP;
    FOR step IN
        SELECT format('ALTER TABLE content_segments ADD %s', pg_get_constraintdef(oid))
        FROM pg_constraint
        WHERE conrelid = 'content_segments_partitioned'::regclass AND contype = 'f'
        UNION ALL
        SELECT replace(pg_get_triggerdef(oid), 'content_segments_partitioned', 'content_segments')
        FROM pg_trigger
        WHERE tgrelid = 'content_segments_partitioned'::regclass AND NOT tgisinternal
    LOOP
        EXECUTE step;
    END LOOP;
END
$one_table$
"""

PLAIN_HELPERS: Final = """
DROP FUNCTION content_of_thread(uuid);
DROP FUNCTION newest_content(uuid[], integer);
CREATE FUNCTION content_of_thread(thread uuid) RETURNS SETOF content_segments
LANGUAGE plpgsql STABLE ROWS 20 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT cs.*
    FROM public.content_segments AS cs
    WHERE cs.thread_id = thread AND cs.is_deleted IS NOT TRUE;
END
$$;
CREATE FUNCTION newest_content(segments uuid[], most integer) RETURNS SETOF content_segments
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT cs.*
    FROM public.content_segments AS cs
    WHERE cs.id = ANY (segments) AND cs.is_deleted IS NOT TRUE
    ORDER BY cs.created_at DESC, cs.id
    LIMIT most;
END
$$;
CREATE OR REPLACE FUNCTION content_sizes(threads uuid[]) RETURNS TABLE (
    thread_id uuid,
    user_id uuid,
    created_at timestamptz,
    text_bytes integer,
    transcript_bytes integer,
    photo_count integer,
    audio_count integer
)
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT
        cs.thread_id,
        cs.user_id,
        cs.created_at,
        coalesce(octet_length(cs.text_content), 0),
        coalesce(octet_length(cs.audio_transcript), 0),
        coalesce(cardinality(cs.photo_urls), 0),
        (cs.audio_url IS NOT NULL)::integer
    FROM public.content_segments AS cs
    WHERE cs.thread_id = ANY (threads) AND cs.is_deleted IS NOT TRUE;
END
$$;
"""


@contextmanager
def kept(
    context: BenchContext, months: int, rows: int, families: int, *, in_one_table: bool
) -> Iterator[str]:
    """The URL, as the operations role, of a database with these rows and the load's people."""
    sizes = replace(
        context.sizes, months=months, segments_per_month=rows // months, families=families
    )
    with context.sample_database(sizes) as url:
        if in_one_table:
            _keep_in_one_table(url)
        prepare_load(url)
        yield url


def _keep_in_one_table(url: str) -> None:
    """Move the segments into a table without partitions, and let the view read it."""
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        view = one_row(admin.execute("SELECT pg_get_viewdef('memory_book_stats'::regclass)"))[0]
        admin.execute(ONE_TABLE)
        admin.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW memory_book_stats WITH (security_invoker = true) AS {}"
            ).format(sql.SQL(view))
        )
        admin.execute("VACUUM ANALYZE")


def read_plainly(url: str) -> None:
    """Let the queries read the one table of this database by its own indexes."""
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        admin.execute(PLAIN_HELPERS)
