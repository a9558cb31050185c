"""The typed client's classes carry every message of the contract unchanged, times to the microsecond."""

import betterproto2
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from generated.clients.message_pool import default_message_pool
from server.client.converters import Converters
from server.contract.methods import Method, load_contract
from server.contract.testing.generation import messages

METHODS = list(load_contract())
OWN_ANSWERS = [method for method in METHODS if method.output.DESCRIPTOR.full_name.startswith("strikeline.")]
CONVERTERS = Converters()


def as_carried(message: Message) -> Message:
    """The message with its times cut to what a datetime can hold, and without a negative zero, which no price is."""
    for field, value in message.ListFields():
        if value == 0.0 and field.type == FieldDescriptor.TYPE_DOUBLE:
            setattr(message, field.name, 0.0)
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for item in value if field.is_repeated else (value,):
            if field.message_type.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
                item.nanos -= item.nanos % 1000
            else:
                as_carried(item)
    return message


def typed(message: Message) -> type[betterproto2.Message]:
    return default_message_pool.url_to_type[f"type.googleapis.com/{message.DESCRIPTOR.full_name}"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@settings(max_examples=15, deadline=None, database=None)
@given(data=st.data())
def test_a_request_passes_the_typed_class_unchanged(method: Method, data: st.DataObject) -> None:
    sent = as_carried(data.draw(messages(method.request, depth=3)))

    through = typed(sent).parse(sent.SerializeToString())

    assert method.input.FromString(bytes(through)) == sent


@pytest.mark.parametrize("method", OWN_ANSWERS, ids=lambda method: method.name)
@settings(max_examples=15, deadline=None, database=None)
@given(data=st.data())
def test_an_answer_is_read_alike_by_converter_and_by_the_class_itself(method: Method, data: st.DataObject) -> None:
    answer = as_carried(data.draw(messages(method.output.DESCRIPTOR, depth=3)))
    content = answer.SerializeToString()
    kind = typed(answer)

    converted = CONVERTERS.parser(kind)(content)

    assert converted == kind.parse(content)
    assert method.output.FromString(bytes(converted)) == answer
