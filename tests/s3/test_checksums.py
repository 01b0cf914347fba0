"""A copy is verified by what the endpoint offers, and what nobody can tell is not called wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    Unverified,
    WrongContent,
    copy_to_class,
    download,
    head,
    put_once,
    read_object,
    told,
)
from ft_ops.s3.upload import PART_BYTES, UploadOnce
from tests.faults.proxy import Answer, Filter, Plan, Proxy
from tests.fixtures.s3 import Silence

CONTENT = b"the only copy of a month"


def test_a_copy_whose_answer_tells_no_checksum_is_asked_for(behind: Bucket, between: Proxy) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=False))
    copy = copy_to_class(behind, stored, "DEEP_ARCHIVE")
    assert (copy.sha256, copy.storage_class) == (stored.sha256, "DEEP_ARCHIVE")
    assert between.plan.seen[-1].startswith("HEAD")


def test_where_nobody_tells_one_it_is_taken_from_the_content(
    behind: Bucket, between: Proxy
) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=True))
    copy = copy_to_class(behind, stored, "GLACIER_IR")
    assert copy.sha256 == stored.sha256
    assert told(behind, copy).sha256 == ""
    assert between.plan.seen[-2].startswith("GET")


def test_other_content_is_wrong_by_whichever_way_it_is_seen(behind: Bucket, between: Proxy) -> None:
    stored = replace(put_once(behind, "a", CONTENT), sha256="0" * 64)
    for heads, storage_class in ((False, "DEEP_ARCHIVE"), (True, "GLACIER_IR")):
        between.plan = Plan(filter=Silence(heads=heads))
        with pytest.raises(WrongContent):
            copy_to_class(behind, stored, storage_class)


def test_a_copy_that_nobody_can_look_into_is_unverified_and_not_wrong(
    behind: Bucket, between: Proxy
) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=True))
    with pytest.raises(Unverified, match="tells no SHA-256") as refused:
        copy_to_class(behind, stored, "DEEP_ARCHIVE")
    assert "export" not in refused.value.next_step
    assert head(behind, stored).sha256 == stored.sha256


def test_an_upload_in_parts_needs_no_checksum_in_the_answers(
    behind: Bucket, between: Proxy
) -> None:
    between.plan = Plan(filter=Silence(heads=False))
    with UploadOnce(behind, "big") as sink:
        sink.write(bytes(PART_BYTES + 7))
    assert len(read_object(behind, sink.stored)) == PART_BYTES + 7


def halved(method: str, path: str, answer: Answer) -> Answer:
    """A body that ends early, of an endpoint that tells no checksum with it."""
    if method != "GET":
        return answer
    body = answer.body[: len(answer.body) // 2]
    kept = [(n, v) for n, v in answer.headers if not n.lower().startswith("x-amz-checksum")]
    return Answer(
        200, [(n, v if n.lower() != "content-length" else str(len(body))) for n, v in kept], body
    )


def failed(method: str, path: str, answer: Answer) -> Answer:
    """An error in the body of a 200, where the content should be or the endpoint has done it."""
    if method == "HEAD" or "uploads" in path or "partNumber" in path:
        return answer
    gone = ("content-length", "etag", "x-amz-version-id")
    kept = [(n, v) for n, v in answer.headers if n.lower() not in gone and "checksum" not in n]
    return Answer(200, kept, b"<Error><Code>InternalError</Code><Message>no</Message></Error>")


def unnamed(method: str, path: str, answer: Answer) -> Answer:
    """Whoever stands between takes the version's name out of the answer."""
    kept = [(n, v) for n, v in answer.headers if n.lower() != "x-amz-version-id"]
    return Answer(answer.status, kept, answer.body)


def test_an_answer_that_is_not_the_object_says_nothing_about_it(
    behind: Bucket, between: Proxy, tmp_path: Path
) -> None:
    stored = put_once(behind, "a", CONTENT)
    for answers in (halved, failed):
        between.plan = Plan(filter=answers)
        for read in (
            lambda: read_object(behind, stored),
            lambda: download(behind, stored, tmp_path / "a"),
        ):
            with pytest.raises(OpsError, match="the endpoint says that it has 24") as refused:
                read()
            assert not isinstance(refused.value, WrongContent)
    # What it says of itself is other content.
    between.plan = Plan()
    with pytest.raises(WrongContent):
        read_object(behind, replace(stored, bytes=23))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (unnamed, "names no VersionId"),
        # boto3 asks again and again.
        pytest.param(failed, "was refused: InternalError", marks=pytest.mark.chaos),
    ],
)
def test_a_write_whose_answer_is_no_answer_is_no_write(
    behind: Bucket, between: Proxy, answers: Filter, words: str
) -> None:
    def upload() -> None:
        with UploadOnce(behind, "c") as sink:
            sink.write(bytes(PART_BYTES + 1))

    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=answers)
    for write in (
        lambda: put_once(behind, "b", CONTENT),
        lambda: copy_to_class(behind, stored, "GLACIER_IR"),
        upload,
    ):
        with pytest.raises(OpsError, match=words):
            write()
