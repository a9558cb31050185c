"""Log lines."""

import io
import json
import logging

import pytest

from server.observability.logs import FIELDS, JsonFormatter, configure_logging, redact


def line_of(record: logging.LogRecord) -> dict[str, object]:
    return json.loads(JsonFormatter().format(record))


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("strikeline.test", logging.INFO, __file__, 1, message, arguments, None)
    made.created = 1_700_000_000.25
    made.__dict__.update(more)
    return made


def test_a_line_has_time_level_logger_and_message():
    assert line_of(record("%s is up", "redis")) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "level": "INFO",
        "logger": "strikeline.test",
        "message": "redis is up",
    }


def test_fields_of_the_record_are_members():
    assert line_of(record("call", **{FIELDS: {"code": "OK"}}))["code"] == "OK"


def test_a_stack_trace_is_in_the_line():
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        made = record("failed")
        made.exc_info = (RuntimeError, error, error.__traceback__)

    assert "RuntimeError: boom" in str(line_of(made)["exception"])


def test_a_line_break_in_a_message_cannot_forge_a_second_line():
    assert "\n" not in JsonFormatter().format(record('x\n{"level":"INFO"}'))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Bearer abc.def.ghi", "abc.def.ghi"),
        ("token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJkZW1vIn0.c2ln", "eyJhbGci"),
        ("postgresql://app:hunter2@db/app", "hunter2"),
        ("password=hunter2 user=x", "hunter2"),
        ('{"api_key": "hunter2"}', "hunter2"),
        ("ticket=hunter2", "hunter2"),
    ],
)
def test_what_looks_like_a_credential_is_left_out(text, secret):
    assert secret not in redact(text)


def test_ordinary_text_stays():
    assert redact("database is up at 127.0.0.1:5432") == "database is up at 127.0.0.1:5432"


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.logThreads, logging.logProcesses, logging.logMultiprocessing)
    yield root
    root.handlers[:], level, logging.logThreads, logging.logProcesses, logging.logMultiprocessing = before
    root.setLevel(level)


def test_one_handler_writes_everything_from_the_level_on(root_logger):
    stream = io.StringIO()

    configure_logging("WARNING", stream)
    logging.getLogger("anything").info("quiet")
    logging.getLogger("anything").warning("loud")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "loud"
