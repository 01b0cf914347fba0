"""The local S3 endpoint."""

from __future__ import annotations

import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from ft_ops.sandbox.stores.moto_server import object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = bytes(100_000)
"""Long enough to be kept in a file."""

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20261101/us-east-1/s3/aws4_request"}
"""Nobody compares the signature."""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files in /proc")
def test_listing_versions_does_not_copy_them(tmp_path: Path) -> None:
    with object_store(tmp_path) as endpoint:
        s3 = _versioned_bucket(endpoint())
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


def test_the_version_that_is_asked_back_can_be_read_and_no_other(tmp_path: Path) -> None:
    with object_store(tmp_path) as endpoint:
        s3 = _versioned_bucket(endpoint())
        older, newer = (
            s3.put_object(Bucket="letters", Key="one", Body=BODY, StorageClass="GLACIER")
            for _ in range(2)
        )
        s3.restore_object(
            Bucket="letters", Key="one", VersionId=older["VersionId"], RestoreRequest={"Days": 1}
        )
        found = s3.get_object(Bucket="letters", Key="one", VersionId=older["VersionId"])
        assert found["Body"].read() == BODY
        with pytest.raises(s3.exceptions.InvalidObjectState):
            s3.get_object(Bucket="letters", Key="one", VersionId=newer["VersionId"])


def test_one_connection_takes_every_kind_of_request(tmp_path: Path) -> None:
    """Whatever was sent or answered before, the next answer is the next request's."""
    with object_store(tmp_path) as endpoint:
        connection = HTTPConnection(endpoint().removeprefix("http://"), timeout=30)
        connection.request("PUT", "/letters")
        opened = connection.sock
        assert connection.getresponse().read() == b""
        found = []
        for method, path, body, headers in (
            ("PUT", "/letters/one", BODY, {"Expect": "100-continue"}),
            ("HEAD", "/letters/one", None, {}),
            # Refused, or never asked for: what was sent is read all the same.
            ("PUT", "/letters/one", BODY, {"If-None-Match": "*"}),
            ("GET", "/letters/two", BODY, {}),
            ("PUT", "/letters/two", iter([b"in", b"pieces"]), {}),
            ("GET", "/letters/two", None, {}),
            ("DELETE", "/letters/two", None, {}),
            ("GET", "/letters/one", None, {}),
        ):
            connection.request(method, path, body, headers | SIGNED)
            answer = connection.getresponse()
            content = answer.read()
            found.append((method, answer.status, content if answer.status == 200 else b""))
        assert connection.sock is opened
        connection.close()
    assert found == [
        ("PUT", 200, b""),
        ("HEAD", 200, b""),
        ("PUT", 412, b""),
        ("GET", 404, b""),
        ("PUT", 200, b""),
        ("GET", 200, b"inpieces"),
        ("DELETE", 204, b""),
        ("GET", 200, BODY),
    ]


@pytest.mark.chaos
def test_it_says_nothing_when_nobody_waits_for_it_any_more() -> None:
    """What kept the others from starting is told in one line, and this adds nothing to it."""
    command = [sys.executable, "-c", "from ft_ops.sandbox.stores.moto_server import serve; serve()"]
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


def _versioned_bucket(endpoint: str) -> S3Client:
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}),
    )
    s3.create_bucket(Bucket="letters")
    s3.put_bucket_versioning(Bucket="letters", VersioningConfiguration={"Status": "Enabled"})
    return s3
