"""The local S3 endpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from ft_ops.sandbox.moto_server import object_store

BODY = bytes(100_000)
"""Long enough to be kept in a file."""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files in /proc")
def test_listing_versions_does_not_copy_them(tmp_path: Path) -> None:
    with object_store(tmp_path) as endpoint:
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint(),
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}),
        )
        s3.create_bucket(Bucket="letters")
        s3.put_bucket_versioning(Bucket="letters", VersioningConfiguration={"Status": "Enabled"})
        for _ in range(2):
            s3.put_object(Bucket="letters", Key="one", Body=BODY)
        before = _open_files(tmp_path)
        for _ in range(3):
            versions = s3.list_object_versions(Bucket="letters")["Versions"]
        assert _open_files(tmp_path) == before
        assert [version["IsLatest"] for version in versions] == [True, False]
        for version in versions:
            found = s3.get_object(Bucket="letters", Key="one", VersionId=version["VersionId"])
            assert found["Body"].read() == BODY


@pytest.mark.chaos
def test_it_says_nothing_when_nobody_waits_for_it_any_more() -> None:
    """What kept the others from starting is told in one line, and this adds nothing to it."""
    command = [sys.executable, "-c", "from ft_ops.sandbox.moto_server import serve; serve()"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def _open_files(folder: Path) -> int:
    return sum(
        str(target).startswith(str(folder))
        for link in Path("/proc").glob("[0-9]*/fd/*")
        if (target := _target(link)) is not None
    )


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except OSError:  # closed meanwhile, or somebody else's
        return None
