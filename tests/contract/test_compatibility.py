"""A change that breaks clients fails the build. Each case spoils the committed descriptors and asks `buf breaking`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from buf.validate import validate_pb2
from server.contract.compatibility import tightened
from tests.contract.committed import COMMITTED, ROOT

Files = descriptor_pb2.FileDescriptorSet


def file_of(files: Files, name: str) -> descriptor_pb2.FileDescriptorProto:
    return next(file for file in files.file if file.name == f"strikeline/v1/{name}.proto")


def message_of(files: Files, file: str, message: str) -> descriptor_pb2.DescriptorProto:
    return next(item for item in file_of(files, file).message_type if item.name == message)


def field_of(files: Files, file: str, message: str, field: str) -> descriptor_pb2.FieldDescriptorProto:
    return next(item for item in message_of(files, file, message).field if item.name == field)


def remove(items, name: str) -> None:
    items.remove(next(item for item in items if item.name == name))


def breaking(changed: Files, folder: Path) -> str:
    """What buf says about a changed contract; empty when clients do not notice."""
    image = folder / "changed.binpb"
    image.write_bytes(changed.SerializeToString())
    buf = Path(sys.executable).parent / "buf"
    command = [str(buf), "breaking", str(image), "--against", str(COMMITTED), "--exclude-imports"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return result.stdout + result.stderr


def removed_method(files: Files) -> None:
    remove(file_of(files, "market_data_service").service[0].method, "ListBars")


def removed_service(files: Files) -> None:
    remove(file_of(files, "account_service").service, "AccountService")


def removed_field(files: Files) -> None:
    remove(message_of(files, "tick", "Tick").field, "ask_quantity")


def renamed_field(files: Files) -> None:
    field = field_of(files, "bar", "Bar", "close")
    field.name, field.json_name = "closing_price", "closingPrice"


def renumbered_field(files: Files) -> None:
    field_of(files, "bar", "Bar", "close").number = 50


def retyped_field(files: Files) -> None:
    field_of(files, "m2m", "M2mCandle", "close").type = descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE


def repeated_field(files: Files) -> None:
    field_of(files, "leg", "Leg", "notes").label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


def removed_enum_value(files: Files) -> None:
    remove(file_of(files, "leg").enum_type[0].value, "SIDE_SELL")


def renamed_enum_value(files: Files) -> None:
    file_of(files, "leg").enum_type[0].value[1].name = "SIDE_LONG"


def other_answer(files: Files) -> None:
    file_of(files, "market_data_service").service[0].method[0].output_type = ".strikeline.v1.ListBarsResponse"


def call_became_stream(files: Files) -> None:
    file_of(files, "market_data_service").service[0].method[0].server_streaming = True


def left_oneof(files: Files) -> None:
    field_of(files, "market_data_service", "StreamTicksResponse", "status").ClearField("oneof_index")


BREAKING = [
    removed_method, removed_service, removed_field, renamed_field, renumbered_field, retyped_field, repeated_field,
    removed_enum_value, renamed_enum_value, other_answer, call_became_stream, left_oneof,
]  # fmt: skip


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: change.__name__)
def test_a_change_that_breaks_clients_is_reported(change: Callable[[Files], None], tmp_path: Path) -> None:
    files = Files.FromString(COMMITTED.read_bytes())
    change(files)

    assert breaking(files, tmp_path) != ""


def new_field(files: Files) -> None:
    message = message_of(files, "bar", "Bar")
    kind = descriptor_pb2.FieldDescriptorProto
    message.field.add(
        name="trade_count", number=60, type=kind.TYPE_INT64, label=kind.LABEL_OPTIONAL, json_name="tradeCount"
    )


def new_enum_value(files: Files) -> None:
    file_of(files, "stream").enum_type[0].value.add(name="SLOW_CONSUMER_SAMPLE", number=9)


def new_method(files: Files) -> None:
    methods = file_of(files, "market_data_service").service[0].method
    added = methods.add()
    added.CopyFrom(methods[0])
    added.name = "BatchGetMoreQuotes"


def new_version_beside(files: Files) -> None:
    added = files.file.add()
    added.CopyFrom(file_of(files, "tick"))
    added.name, added.package = "strikeline/v2/tick.proto", "strikeline.v2"


@pytest.mark.parametrize(
    "change", [new_field, new_enum_value, new_method, new_version_beside], ids=lambda change: change.__name__
)
def test_a_change_that_only_adds_is_accepted(change: Callable[[Files], None], tmp_path: Path) -> None:
    files = Files.FromString(COMMITTED.read_bytes())
    change(files)

    assert breaking(files, tmp_path) == ""


def rules_of(files: Files, file: str, message: str, field: str) -> validate_pb2.FieldRules:
    return field_of(files, file, message, field).options.Extensions[validate_pb2.field]


def newly_required(files: Files) -> None:
    rules_of(files, "market_data_service", "ListBarsRequest", "end_time").required = True


def longer_minimum(files: Files) -> None:
    rules_of(files, "instrument_service", "SearchInstrumentsRequest", "query").string.min_len = 3


def shorter_maximum(files: Files) -> None:
    rules_of(files, "strategy", "Strategy", "display_name").string.max_len = 100


def smaller_page(files: Files) -> None:
    rules_of(files, "market_data_service", "ListBarsRequest", "page_size").int32.lte = 5_000


def fewer_items(files: Files) -> None:
    rules_of(files, "market_data_service", "StreamTicksRequest", "instruments").repeated.max_items = 1_000


def shorter_items(files: Files) -> None:
    rules_of(files, "market_data_service", "StreamTicksRequest", "instruments").repeated.items.string.max_len = 32


def other_pattern(files: Files) -> None:
    rules_of(files, "leg", "Leg", "entry_price").string.pattern = "^[0-9]+$"


def new_pattern(files: Files) -> None:
    rules_of(files, "market_data_service", "ListBarsRequest", "timeframe").string.pattern = "^[0-9]+min$"


def new_rule_between_fields(files: Files) -> None:
    options = message_of(files, "market_data_service", "ListBarsRequest").options
    options.Extensions[validate_pb2.message].cel.add(id="start_time.required", expression="has(this.start_time)")


def new_field_that_must_be_set(files: Files) -> None:
    kind = descriptor_pb2.FieldDescriptorProto
    added = message_of(files, "market_data_service", "ListBarsRequest").field.add(
        name="source", number=40, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL
    )
    added.options.Extensions[validate_pb2.field].string.min_len = 1


TIGHTER = [
    newly_required, longer_minimum, shorter_maximum, smaller_page, fewer_items, shorter_items, other_pattern,
    new_pattern, new_rule_between_fields, new_field_that_must_be_set,
]  # fmt: skip


TAKEN_BACK = [change for change in TIGHTER if change not in {other_pattern, new_field_that_must_be_set}]


@pytest.mark.parametrize("change", TIGHTER, ids=lambda change: change.__name__)
def test_a_bound_that_refuses_what_was_accepted_is_reported_once(change: Callable[[Files], None]) -> None:
    before = Files.FromString(COMMITTED.read_bytes())
    after = Files.FromString(COMMITTED.read_bytes())
    change(after)

    assert len(tightened(before, after)) == 1


@pytest.mark.parametrize("change", TAKEN_BACK, ids=lambda change: change.__name__)
def test_taking_a_bound_back_breaks_nobody(change: Callable[[Files], None]) -> None:
    before = Files.FromString(COMMITTED.read_bytes())
    after = Files.FromString(COMMITTED.read_bytes())
    change(before)

    assert tightened(before, after) == []


def test_the_contract_refuses_nothing_that_the_last_release_accepted() -> None:
    baseline = ROOT / "protos" / "baseline.binpb"
    released = Files.FromString((baseline if baseline.exists() else COMMITTED).read_bytes())

    assert tightened(released, Files.FromString(COMMITTED.read_bytes())) == []
