"""A process that runs jobs beside the demo: ``python -m ft_ops.sandbox.worker``.

One for all of them, started before the first is wanted: Dagster and the jobs take some seconds to
import. A thread would not do: each run configures the logging of its process, and two of them lock
each other out.

A line of JSON on its standard input asks for a job, and one on its standard output says how it
ended. It ends when its standard input closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Final

from ft_ops.errors import OpsError
from ft_ops.sandbox.report import CheckOutcome

_SHOWN_LINES: Final = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """A job that ended well: its own seconds, and what its asset checks found."""

    seconds: float
    checks: list[CheckOutcome]


@dataclass(slots=True)
class Worker:
    """The running process. Jobs run in the order in which they were asked for."""

    process: subprocess.Popen[str]
    said: IO[bytes]
    asked: int = 0
    answers: int = 0

    def start(
        self, job: str, tags: Mapping[str, str], ops: Mapping[str, Mapping[str, object]]
    ) -> Callable[[], Ran]:
        """Ask for a job. Returns a function that waits for its end; an OpsError when it failed.

        The ends are waited for in the order of the starts.
        """
        assert self.process.stdin is not None
        self.asked += 1
        number = self.asked
        try:
            asked = {"job": job, "tags": dict(tags), "ops": dict(ops)}
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            with suppress(BrokenPipeError):
                # Else the pipe's end would be told at the block's end, and not what ended it.
                self.process.stdin.close()
            raise self._gone(job) from error
        return lambda: self._wait(job, number)

    def _wait(self, job: str, number: int) -> Ran:
        assert self.process.stdout is not None
        self.answers += 1
        assert number == self.answers, "jobs are waited for in the order of their starts"
        line = self.process.stdout.readline()
        if not line:
            raise self._gone(job)
        answer = json.loads(line)
        if "cause" in answer:
            raise OpsError(answer["what"], cause=answer["cause"], next_step=answer["next_step"])
        return Ran(answer["seconds"], [CheckOutcome(**check) for check in answer["checks"]])

    def _gone(self, job: str) -> OpsError:
        status = self.process.wait()
        self.said.seek(0)
        complaints = self.said.read().decode(errors="replace").strip().splitlines()
        return OpsError(
            f"job {job}",
            cause="\n".join([f"exit status {status}", *complaints[-_SHOWN_LINES:]]),
            next_step="remove the cause, or report it as a defect with the lines above",
        )


@contextmanager
def worker() -> Iterator[Worker]:
    """Start the process, which ends with the block; what it is at then is given up."""
    # A file: nobody reads meanwhile, and a pipe that is full would stop a run.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        started = Worker(process, said)
        try:
            yield started
        finally:
            if started.answers < started.asked:
                process.terminate()


def main() -> None:
    """Be the process."""
    # Dagster's notices about its own beta parameters are not for whoever watches a demo.
    warnings.simplefilter("ignore")
    # What a job prints is not an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import dagster as dg

    from ft_ops.sandbox.jobs import outcomes, run_job

    with answers, dg.DagsterInstance.get() as instance:
        for line in sys.stdin:
            asked = json.loads(line)
            began = time.monotonic()
            answer: dict[str, object]
            try:
                result = run_job(instance, asked["job"], tags=asked["tags"], ops=asked["ops"])
            except OpsError as error:
                answer = {"what": error.what, "cause": error.cause, "next_step": error.next_step}
            else:
                seconds = round(time.monotonic() - began, 2)
                answer = asdict(Ran(seconds, outcomes(result)))
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
