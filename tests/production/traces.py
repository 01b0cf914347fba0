"""Everything that a deployment wrote, as bytes to search: files, two databases, two buckets."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import psycopg
from psycopg import sql

from ft_ops.sandbox import Sandbox

Trace = tuple[str, bytes]
"""Where something was found, and what."""


def written(box: Sandbox) -> Iterator[Trace]:
    """What is in a sandbox: the files of Dagster and of the server's log, databases, buckets."""
    yield from in_files(box.dagster_home)
    yield str(box.server.log_file), box.server.log_file.read_bytes()
    for database in ("dagster", "familytales"):
        yield from in_database(box.server.url(database))
    for bucket in (box.archive_bucket, box.backup_bucket):
        yield from in_bucket(box.s3_endpoint, bucket)


def in_files(folder: Path) -> Iterator[Trace]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


def in_database(url: str) -> Iterator[Trace]:
    """Every row of every table, and what is compressed in a column of bytes, unpacked."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))
            for row in connection.execute(query):
                place = f"{connection.info.dbname}.{schema}.{table}"
                yield place, repr(row).encode()
                yield from ((place, unpacked(value)) for value in row if isinstance(value, bytes))


def in_bucket(endpoint: str, bucket: str) -> Iterator[Trace]:
    """Every object in STANDARD, by its key."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            if item["StorageClass"] == "STANDARD":
                body = client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                yield f"s3://{bucket}/{item['Key']}", unpacked(body)


def unpacked(value: bytes) -> bytes:
    """What zlib or gzip packed, or the bytes as they are."""
    try:
        return zlib.decompress(value, wbits=zlib.MAX_WBITS | 32)
    except zlib.error:
        return value


def leaks(traces: Iterator[Trace], secrets: Mapping[str, str]) -> set[tuple[str, str]]:
    """Which secrets were found, and where."""
    return {
        (name, place)
        for place, content in traces
        for name, secret in secrets.items()
        if secret.encode() in content
    }
