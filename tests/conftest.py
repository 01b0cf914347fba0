"""Fixtures: one PostgreSQL server and one S3 endpoint a session, a cloned database a test."""

from __future__ import annotations

pytest_plugins = ["tests.fixtures.http", "tests.fixtures.postgres", "tests.fixtures.s3"]
