"""Spans of statements, for a collector of OpenTelemetry; off unless one is configured.

A run's trace has the run's own identity, so that every process of a run adds to the same trace
without being told: the trace's id is the run's, and the ids of the run's and the steps' spans
follow from it. A span of a statement holds the statement's name, where it went and how it ended:
neither its text nor its parameters, and of an error its kind alone.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_EXPORT_SECONDS: Final = 3
"""What a collector may take for a batch. A process waits for the last one at its end, when its work
is done."""
SCOPE: Final = "ft_ops"

log = logging.getLogger(__name__)


def endpoint_variable() -> str | None:
    """The variable that names the collector, or None: then there are no spans."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    return next((name for name in _ENDPOINTS if os.environ.get(name, "").strip()), None)


@cache
def is_installed() -> bool:
    """Whether the packages of the extra ``otel`` are there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


def are_wanted() -> bool:
    """Whether spans are made in this process."""
    return endpoint_variable() is not None and is_installed()


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A step of a run, or with an empty key the run itself."""

    run_id: str
    key: str = ""

    @property
    def trace_id(self) -> int:
        return UUID(self.run_id).int

    @property
    def span_id(self) -> int:
        digest = hashlib.sha256(f"{self.run_id}/{self.key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") or 1

    def context(self) -> SpanContext:
        """What a child names as its parent."""
        from opentelemetry.trace import SpanContext, TraceFlags

        sampled = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(self.trace_id, self.span_id, is_remote=True, trace_flags=sampled)


_step: ContextVar[TracedStep | None] = ContextVar("step", default=None)


@contextmanager
def within_step(step: TracedStep | None) -> Iterator[None]:
    """Statements of the block belong to that step; None leaves it as it is."""
    if step is None:
        yield
        return
    before = _step.get()
    _step.set(step)
    try:
        yield
    finally:
        # Set back rather than reset: a generator may be closed in another context.
        _step.set(before)


@contextmanager
def of_statement(name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """A span around a statement. Nothing that goes wrong with it reaches the statement."""
    span = _begin(name, attributes) if are_wanted() else None
    try:
        yield
    except BaseException as error:
        _end(span, error)
        raise
    _end(span, None)


def _begin(name: str, attributes: Mapping[str, str | int]) -> Any:
    try:
        from opentelemetry import trace

        step = _step.get()
        parent = None
        if step is not None:
            parent = trace.set_span_in_context(trace.NonRecordingSpan(step.context()))
        tracer = provider().get_tracer(SCOPE)
        return tracer.start_span(
            name, context=parent, kind=trace.SpanKind.CLIENT, attributes=attributes
        )
    except Exception:  # noqa: BLE001  tracing must not stop what it looks at
        log.debug("no span of %s", name)
        return None


def _end(span: Any, error: BaseException | None) -> None:
    if span is None:
        return
    try:
        from opentelemetry.trace import Status, StatusCode

        if error is not None:
            # An error's text may quote values.
            kind = type(error).__name__
            span.set_attribute("error.type", getattr(error, "sqlstate", None) or kind)
            span.set_status(Status(StatusCode.ERROR, kind))
        span.end()
    except Exception:  # noqa: BLE001  tracing must not stop what it looks at
        log.debug("a span did not end")


def exporter() -> SpanExporter:
    """The way to the collector: protobuf over HTTP, by the variables that OpenTelemetry names."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    is_said = any(os.environ.get(name, "").strip() for name in _TIMEOUTS)
    return OTLPSpanExporter(timeout=None if is_said else _EXPORT_SECONDS)


@cache
def provider() -> TracerProvider:
    """What makes this process's spans, and sends them on in batches from a thread of its own."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(resource=resource(), shutdown_on_exit=False)
    batches = BatchSpanProcessor(exporter())
    made.add_span_processor(batches)
    atexit.register(made.shutdown)
    return made


def resource() -> Any:
    """Who sends: FamilyTales' operations, unless OTEL_SERVICE_NAME says otherwise."""
    from opentelemetry.sdk.resources import Resource

    named = os.environ.get("OTEL_SERVICE_NAME") or "ft-ops"
    return Resource.create({"service.name": named})


@dataclass(frozen=True, slots=True)
class Ended:
    """A run or a step that ended, in seconds since 1970; ``error`` is empty when it did well."""

    step: TracedStep
    name: str
    began: float
    ended: float
    error: str = ""
    attributes: Mapping[str, str | int] = field(default_factory=dict)


def export(ended: Sequence[Ended]) -> bool:
    """Send spans of runs and their steps; whether the collector took them."""
    from opentelemetry.sdk.trace.export import SpanExportResult

    way = exporter()
    try:
        return way.export([_span_of(one) for one in ended]) is SpanExportResult.SUCCESS
    finally:
        way.shutdown()


def _span_of(one: Ended) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanKind, Status, StatusCode

    return ReadableSpan(
        name=one.name,
        context=one.step.context(),
        parent=TracedStep(one.step.run_id).context() if one.step.key else None,
        resource=resource(),
        attributes=dict(one.attributes),
        kind=SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope(SCOPE),
        status=Status(StatusCode.ERROR, one.error) if one.error else Status(StatusCode.OK),
        start_time=int(one.began * 1e9),
        end_time=int(one.ended * 1e9),
    )
