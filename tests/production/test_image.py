"""The image is pinned, holds what it needs, and runs as nobody in particular."""

from __future__ import annotations

import re

import pytest

from tests.production.policies import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER (?!0)\d+:\d+$", last, re.MULTILINE)
    # Every package comes from a lock, by its hash.
    for install in re.findall(r"pip install ((?:.|\\\n)+)", text):
        ours = install.endswith("--no-build-isolation . \\")
        assert ours or "--require-hashes" in install, install


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "ecs/Dockerfile"])
def test_what_an_image_copies_is_there_and_not_ignored(dockerfile: str) -> None:
    admitted = {
        line[2:]
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!/")
    }
    text = (DEPLOY / dockerfile).read_text()
    for option, sources in re.findall(
        r"^COPY (?!--from)(--chmod=\d+ )?(.+) \S+$", text.rpartition("FROM ")[2], re.MULTILINE
    ):
        assert option, "a checkout may be readable to nobody but its owner"
        assert sources
    for sources in re.findall(r"^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (REPOSITORY / source).exists(), source
            assert source in admitted, source
