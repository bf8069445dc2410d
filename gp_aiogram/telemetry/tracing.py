"""Traces the recording and the delivery of events with OpenTelemetry.

Names and attributes follow its conventions for messaging:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/. No user, value or order is
in them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TracerProvider

from gp_aiogram.destinations.base import SendOutcome
from gp_aiogram.errors import DeliveryError
from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import AcceptResult, Delivery
from gp_aiogram.telemetry.observer import NOTHING, Observer

_SYSTEM = "gp_aiogram"
_OUTBOX = "outbox"

#: How many recorded events are remembered for the links of their deliveries.
_REMEMBERED = 10_000

#: Links of one span: OpenTelemetry's own default limit.
_MOST_LINKS = 128

#: What tells an event from others.
_Key = tuple[str, str]


class Tracing(Observer):
    """Makes a span of each recording, and of each request to a destination.

    A tracker does so by itself where ``opentelemetry-api`` is installed and a tracer provider is
    set. The span of a request is linked with those of the recordings that this process has made;
    no trace context is stored, so that across processes ``messaging.message.id`` connects them.

    :param tracer_provider: None means the global one; until one is set, nothing is traced.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._is_global = tracer_provider is None
        self._tracer = trace.get_tracer(_SYSTEM, version("gp-aiogram"), tracer_provider)
        #: The span that is under way, since the current one may be somebody else's.
        self._span: ContextVar[Span | None] = ContextVar("span", default=None)
        self._recorded: OrderedDict[_Key, SpanContext] = OrderedDict()

    def recording(self, event: Event) -> AbstractContextManager[None]:
        """Make a span of a recording."""
        return self._recording(event) if self._is_on() else NOTHING

    def accepted(self, event: Event, result: AcceptResult, seconds: float) -> None:  # noqa: ARG002
        """Describe the event as it was stored, and remember the span for its deliveries."""
        span = self._span.get()
        if span is None:
            return
        span.set_attribute("gp_aiogram.event.name", event.name)
        span.set_attribute("gp_aiogram.result", result)
        if result == "stored":
            self._recorded[event.event_id, event.name] = span.get_span_context()
            if len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)

    def sending(
        self,
        destination: str,
        batch: Sequence[Delivery],
    ) -> AbstractContextManager[None]:
        """Make a span of a request."""
        return self._sending(destination, batch) if self._is_on() else NOTHING

    def answered(self, answer: Sequence[SendOutcome] | DeliveryError) -> None:
        """Note how a request has ended."""
        span = self._span.get()
        if span is None:
            return
        answers = [answer] if isinstance(answer, DeliveryError) else answer
        errors = [each for each in answers if isinstance(each, DeliveryError)]
        if not errors:
            return
        span.set_attribute("error.type", type(errors[0]).__name__)
        if len(errors) == len(answers):
            span.set_status(StatusCode.ERROR)
        else:
            span.set_attribute("gp_aiogram.failed_count", len(errors))

    def _is_on(self) -> bool:
        """Return whether anybody has asked for traces."""
        if not self._is_global:
            return True
        return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

    @contextmanager
    def _recording(self, event: Event) -> Iterator[None]:
        attributes = {
            **_operation("track", "send", _OUTBOX),
            "messaging.message.id": event.event_id,
            "gp_aiogram.event.name": event.name,
        }
        with (
            self._tracer.start_as_current_span(
                f"track {_OUTBOX}",
                kind=SpanKind.PRODUCER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            self._under_way(span),
        ):
            yield

    @contextmanager
    def _sending(self, destination: str, batch: Sequence[Delivery]) -> Iterator[None]:
        attributes = _operation("deliver", "process", destination)
        if len(batch) == 1:
            attributes["messaging.message.id"] = batch[0].event.event_id
            attributes["gp_aiogram.event.name"] = batch[0].event.name
        else:
            attributes["messaging.batch.message_count"] = len(batch)
        with (
            self._tracer.start_as_current_span(
                f"deliver {destination}",
                # A root: a lane's own context is that of whoever started the tracker.
                context=Context(),
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                links=self._links(batch),
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            self._under_way(span),
        ):
            yield

    @contextmanager
    def _under_way(self, span: Span) -> Iterator[None]:
        """Remember a span while it lasts, and note the kind of an error that ends it.

        The error's text is left out, which may speak of persons.
        """
        before = self._span.set(span)
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            self._span.reset(before)

    def _links(self, batch: Sequence[Delivery]) -> list[Link]:
        keys = ((delivery.event.event_id, delivery.event.name) for delivery in batch)
        found = (self._recorded.get(key) for key in keys)
        links = [Link(context) for context in found if context is not None]
        return links[:_MOST_LINKS]


def _operation(name: str, kind: str, destination: str) -> dict[str, Any]:
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
    }
