"""Everything that one route needs, made once: binder, codec, encoder, and the callable of its method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from google.protobuf.descriptor import Descriptor

from gateway.transcoder.binder import RESUME_TOKEN, Binder
from gateway.transcoder.choices import has_choices, refuse_double_choices
from gateway.transcoder.encoder import SharedPayloads, StreamEncoder, UnaryEncoder, top_level_fields
from gateway.transcoder.framer import Framer
from gateway.transcoder.locate import bad_request
from gateway.transcoder.message import Codec, Undecodable
from gateway.transcoder.routes import WHOLE_BODY, Route
from gateway.transcoder.values import JsonObject
from gateway.upstream import StreamCallable, UnaryCallable, Upstream


class Endpoint:
    """One route, ready to serve."""

    def __init__(self, route: Route, codec: Codec) -> None:
        self.route = route
        self.name = short_name(route)
        self.binder = Binder(route)
        self._codec = codec
        self._request = route.request
        # Nothing but the body makes up the request: its text goes to the codec as it is.
        self._choices = has_choices(self._request)
        self._direct = route.rule.body == WHOLE_BODY and not route.template.variables and not self._choices

    def wire(self, segments: Sequence[str], query: bytes, body: bytes, resume_token: str) -> bytes:
        """The serialised gRPC request. Raises BadRequest that names each wrong field."""
        if self._direct and body and not query:
            try:
                return self._codec.text_to_wire(self._request.full_name, body)
            except Undecodable:
                pass  # the way below says where it is wrong
        return self.wire_of(self.binder.bind(segments, query, body, resume_token))

    def wire_of(self, value: JsonObject) -> bytes:
        """The serialised gRPC request of a JSON value. Raises BadRequest that names each wrong field."""
        if self._choices:
            refuse_double_choices(self._request, value)
        try:
            return self._codec.to_wire(self._request.full_name, value)
        except Undecodable as error:
            raise bad_request(self._codec, self._request, value) from error

    def json(self, wire: bytes) -> bytes:
        """A response message as JSON."""
        return self._codec.to_json(self.route.method.output.DESCRIPTOR.full_name, wire, proto_names=False)


class UnaryEndpoint(Endpoint):
    """A route of a unary method."""

    def __init__(self, route: Route, codec: Codec, upstream: Upstream, shared: SharedPayloads) -> None:
        super().__init__(route, codec)
        self.call: UnaryCallable = upstream.unary(route.method.path)
        response = route.method.output.DESCRIPTOR.full_name
        self.encoder = UnaryEncoder(codec, response, route.rule.response_body, shared if route.method.safe else None)
        self.cacheable = route.method.policy.cache_seconds > 0


class StreamEndpoint(Endpoint):
    """A route of a streaming method."""

    def __init__(self, route: Route, codec: Codec, upstream: Upstream, shared: SharedPayloads) -> None:
        super().__init__(route, codec)
        self.call: StreamCallable = upstream.stream(route.method.path)
        response = route.method.output.DESCRIPTOR
        self._encoder = StreamEncoder(codec, cast("Descriptor", response), shared)
        token = response.fields_by_name.get(RESUME_TOKEN)
        self._token = token.number if token is not None else 0

    def frame(self, wire: bytes, framer: Framer, *, proto_names: bool) -> bytes:
        """One message of the stream, framed."""
        return framer.message(self._encoder.encode(wire, proto_names=proto_names), self._resume_token(wire))

    def json(self, wire: bytes) -> bytes:
        """One message of the stream as JSON; large parts are encoded once for all streams."""
        return self._encoder.encode(wire, proto_names=False)

    def _resume_token(self, wire: bytes) -> bytes:
        if not self._token:
            return b""
        return next(
            (wire[content:end] for number, _, content, end in top_level_fields(wire) if number == self._token), b""
        )


def short_name(route: Route) -> str:
    """What a socket client calls the method, such as `MarketDataService.StreamTicks`."""
    return f"{route.method.service.rpartition('.')[2]}.{route.method.name}"
