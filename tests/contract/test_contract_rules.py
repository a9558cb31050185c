"""Rules that the contract keeps everywhere: exact money, bounded requests, pages, envelopes."""

import re

import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate import validate_pb2
from server.contract.methods import Contract, Method, load_contract, public_files
from server.contract.wording import FORMS

CONTRACT: Contract = load_contract()
METHODS = list(CONTRACT)
FLOATS = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
MONEY_MESSAGES = ("Strategy", "Leg", "LegExit", "StrategyM2m", "LegM2m", "M2mCandle")
MONEY_FIELDS = re.compile(r"(^|_)(pnl|m2m|premium_flow|entry_price|exit_price)$")


def messages() -> dict[str, Descriptor]:
    return {name: message for file in public_files() for name, message in file.message_types_by_name.items()}


def fields(message: Descriptor, prefix: str = "") -> list[tuple[str, FieldDescriptor]]:
    """Every field of a request with its path, those of our own messages within it included."""
    found = []
    for field in message.fields:
        found.append((prefix + field.name, field))
        own = field.message_type is not None and field.message_type.full_name.startswith("strikeline.")
        if own and not field.message_type.GetOptions().map_entry:
            found += fields(field.message_type, f"{prefix}{field.name}.")
    return found


def bounded(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.is_repeated:
        return rules.repeated.HasField("max_items")
    if field.type == FieldDescriptor.TYPE_STRING:
        return rules.string.HasField("max_len") or rules.string.HasField("pattern")
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rules.bytes.HasField("max_len")
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rules.enum.defined_only
    if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_DOUBLE):
        return rules.WhichOneof("type") is not None
    return True


def message_rules() -> list[tuple[str, str]]:
    """Every rule between fields: the message and the rule's id."""
    return [
        (name, rule.id)
        for name, message in messages().items()
        for rule in message.GetOptions().Extensions[validate_pb2.message].cel
    ]


@pytest.mark.parametrize(("name", "rule"), message_rules(), ids=lambda value: value)
def test_the_id_of_a_message_rule_begins_with_the_field_that_it_is_about(name: str, rule: str) -> None:
    path = rule.split(".")[:-1]

    message: Descriptor | None = messages()[name]
    found = []
    for word in path:
        field = None if message is None else message.fields_by_name.get(word)
        found.append(None if field is None else field.name)
        message = None if field is None else field.message_type

    assert path
    assert found == path


SET_BY_SERVER = {"open_leg_count"}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_field_of_a_request_is_bounded(method: Method) -> None:
    unbounded = [
        path for path, field in fields(method.request) if not bounded(field) and field.name not in SET_BY_SERVER
    ]

    assert unbounded == []


def patterns(field: FieldDescriptor) -> set[str]:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    texts = (rules, rules.repeated.items, rules.map.keys, rules.map.values)
    return {item.string.pattern for item in texts if item.string.pattern}


def test_every_pattern_is_worded_for_people_and_no_other() -> None:
    used = {pattern for method in METHODS for _, field in fields(method.request) for pattern in patterns(field)}

    assert used == set(FORMS)


@pytest.mark.parametrize("name", MONEY_MESSAGES)
def test_no_message_of_money_has_a_binary_fraction(name: str) -> None:
    assert [field.name for field in messages()[name].fields if field.type in FLOATS] == []


def test_amounts_are_decimal_text_wherever_they_stand() -> None:
    amounts = [
        (message.name, field.name, field.type)
        for message in messages().values()
        for field in message.fields
        if MONEY_FIELDS.search(field.name) and not field.is_repeated and field.message_type is None
    ]

    assert len(amounts) > 10
    assert [amount for amount in amounts if amount[2] != FieldDescriptor.TYPE_STRING] == []


LISTS = [method for method in METHODS if method.name.startswith(("List", "Search"))]
SERIES = {
    "ListBars",
    "ListM2mCandles",
    "ListPositionSignals",
    "ListExpiryMetrics",
    "ListMoneynessSeries",
    "ListStrikeHistory",
}


@pytest.mark.parametrize("method", LISTS, ids=lambda method: method.name)
def test_a_list_has_pages_of_a_stated_size(method: Method) -> None:
    size = method.request.fields_by_name["page_size"].GetOptions().Extensions[validate_pb2.field].int32
    largest = 10_000 if method.name in SERIES else 1_000

    assert (size.gte, size.HasField("gte")) == (0, True)
    assert 0 < size.lte <= largest
    assert "page_token" in method.request.fields_by_name
    assert "next_page_token" in method.output.DESCRIPTOR.fields_by_name


STREAMS = [method for method in METHODS if method.server_streaming]


@pytest.mark.parametrize("method", STREAMS, ids=lambda method: method.name)
def test_every_message_of_a_stream_has_the_same_envelope(method: Method) -> None:
    envelope = method.output.DESCRIPTOR

    assert [field.name for field in envelope.fields] == [
        "sequence", "as_of", "resume_token", "subscribed", "snapshot", "batch", "heartbeat", "status",
    ]  # fmt: skip
    assert [field.name for field in envelope.oneofs_by_name["event"].fields] == [
        "subscribed", "snapshot", "batch", "heartbeat", "status",
    ]  # fmt: skip
    assert [field.number for field in envelope.fields] == list(range(1, 9))
    assert method.request.fields_by_name["options"].message_type.name == "StreamOptions"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_path_begins_with_the_version_and_is_camel_case(method: Method) -> None:
    for rule in method.http:
        words = re.findall(r"[^/{}:=.*]+", re.sub(r"\{[^}]*\}", "", rule.path))
        assert rule.path.startswith("/v1/")
        assert [word for word in words if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", word)] == []


PUBLISHED = [
    ("MarketDataService/ListBars", "GET", "/v1/bars"),
    ("MarketDataService/BatchGetQuotes", "GET", "/v1/quotes:batchGet"),
    ("MarketDataService/StreamTicks", "GET", "/v1/ticks:stream"),
    ("MarketDataService/StreamBars", "GET", "/v1/bars:stream"),
    ("InstrumentService/GetInstrument", "GET", "/v1/instruments/{instrument}"),
    ("InstrumentService/SearchInstruments", "GET", "/v1/instruments:search"),
    ("FuturesService/GetRolloverMetrics", "GET", "/v1/futures/{underlying}/rolloverMetrics"),
    ("StrategyService/ListStrategies", "GET", "/v1/accounts/{account}/strategies"),
    ("StrategyService/CreateStrategy", "POST", "/v1/accounts/{account}/strategies"),
    ("StrategyService/GetStrategy", "GET", "/v1/accounts/{account}/strategies/{strategy}"),
    ("StrategyService/ListLegs", "GET", "/v1/accounts/{account}/strategies/{strategy}/legs"),
    ("StrategyService/ListM2mCandles", "GET", "/v1/accounts/{account}/strategies/{strategy}/m2mCandles"),
    ("StrategyService/StreamM2m", "GET", "/v1/accounts/{account}/strategies/{strategy}:streamM2m"),
    ("StrategyService/GetM2m", "GET", "/v1/accounts/{account}/strategies/{strategy}/m2m"),
]


@pytest.mark.parametrize(("name", "verb", "path"), PUBLISHED, ids=str)
def test_paths_that_clients_rely_on_stay(name: str, verb: str, path: str) -> None:
    rule = CONTRACT.method(f"/strikeline.v1.{name}").http[0]

    assert (rule.verb, rule.path) == (verb, path)


RELIED_ON = {
    "Bar": ["open_time", "open", "high", "low", "close", "volume", "open_interest", "partial", "closed"],
    "Tick": [
        "instrument",
        "event_time",
        "last_price",
        "last_quantity",
        "volume",
        "open_interest",
        "bid_price",
        "ask_price",
    ],
    "Strategy": ["strategy", "display_name", "description", "tags", "status", "etag"],
    "Leg": ["leg", "instrument", "side", "quantity", "entry_price"],
    "M2mCandle": ["open_time", "open", "high", "low", "close", "leg_count"],
}


@pytest.mark.parametrize("name", RELIED_ON)
def test_fields_that_clients_rely_on_stay(name: str) -> None:
    assert [field for field in RELIED_ON[name] if field not in messages()[name].fields_by_name] == []


def test_absent_and_zero_differ_where_a_value_may_be_unknown() -> None:
    optional = [
        (name, field)
        for name, names in {
            "Tick": ["last_price", "last_quantity", "volume", "open_interest", "bid_price", "ask_price"],
            "Bar": ["volume", "open_interest"],
            "Quote": ["last_price", "volume", "open_interest"],
            "StrategyM2m": ["m2m", "unrealized_pnl", "total_pnl", "premium_flow"],
            "LegM2m": ["last_price", "m2m"],
        }.items()
        for field in names
    ]

    assert [(name, field) for name, field in optional if not messages()[name].fields_by_name[field].has_presence] == []


def test_an_update_changes_every_field_that_is_neither_fixed_nor_set_by_the_server() -> None:
    fixed = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER, field_behavior_pb2.IMMUTABLE}
    updates = [method for method in METHODS if "update_mask" in method.input.DESCRIPTOR.fields_by_name]

    def changeable(resource: Descriptor) -> set[str]:
        behaviours = {
            item.name: item.GetOptions().Extensions[field_behavior_pb2.field_behavior] for item in resource.fields
        }
        return {name for name, found in behaviours.items() if name != "etag" and fixed.isdisjoint(found)}

    def masked(method: Method) -> set[str]:
        mask = method.input.DESCRIPTOR.fields_by_name["update_mask"]
        return set(getattr(mask.GetOptions().Extensions[validate_pb2.field].field_mask, "in"))

    bodies = {method: method.input.DESCRIPTOR.fields_by_name[method.http[0].body].message_type for method in updates}
    assert {method.name: masked(method) for method in updates} == {
        method.name: changeable(resource) for method, resource in bodies.items()
    }


def test_ids_are_at_most_36_characters() -> None:
    ids = ("account", "strategy", "leg", "stream")
    lengths = {
        (method.name, path): field.GetOptions().Extensions[validate_pb2.field].string.max_len
        for method in METHODS
        for path, field in fields(method.request)
        if field.name in ids and field.type == FieldDescriptor.TYPE_STRING
    }

    assert set(lengths.values()) == {36}
