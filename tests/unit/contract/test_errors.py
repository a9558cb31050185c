"""The catalogue of error reasons, and that the code raises nothing that is missing in it."""

import ast
import inspect
from pathlib import Path

import grpc
import pytest

from server.contract.errors import HTTP_STATUS, load_catalogue, milliseconds, status_code
from server.domain import errors

ROOT = Path(__file__).parents[3]


def domain_errors() -> list[type[errors.StrikelineError]]:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in classes if issubclass(value, errors.StrikelineError)]


def reasons_in(path: Path) -> set[str]:
    """Words that a file gives as `reason`, in a call or as a class attribute."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        values = []
        if isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            values += node.args[:1] if ast.unparse(node.func) == "Problem" else []
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["reason"]:
            values = [node.value]
        found |= {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return {word for word in found if word.isupper()}


def test_a_reason_is_documented_with_code_status_and_metadata() -> None:
    reason = load_catalogue().reason("RATE_LIMITED")

    assert reason.description.startswith("The quota of the method's rate class is used up")
    assert reason.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason.http_status == 429
    assert reason.metadata == {"rate_class", "limit"}
    assert reason.retryable


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("METHOD_NOT_ALLOWED", 405),
        ("BODY_TOO_LARGE", 413),
        ("UNSUPPORTED_MEDIA_TYPE", 415),
        ("LOCKED_OUT", 423),
        ("VALIDATION_FAILED", 400),
        ("ETAG_MISMATCH", 409),
    ],
)
def test_some_reasons_have_an_http_status_of_their_own(reason: str, status: int) -> None:
    catalogue = load_catalogue()

    assert catalogue.http_status(catalogue.reason(reason).code, reason) == status


def test_a_reason_under_a_foreign_code_has_the_codes_status() -> None:
    assert load_catalogue().http_status(grpc.StatusCode.INTERNAL, "BODY_TOO_LARGE") == 500


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("OK", 200),
        ("CANCELLED", 499),
        ("UNKNOWN", 500),
        ("INVALID_ARGUMENT", 400),
        ("DEADLINE_EXCEEDED", 504),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("PERMISSION_DENIED", 403),
        ("RESOURCE_EXHAUSTED", 429),
        ("FAILED_PRECONDITION", 400),
        ("ABORTED", 409),
        ("OUT_OF_RANGE", 400),
        ("UNIMPLEMENTED", 501),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("DATA_LOSS", 500),
        ("UNAUTHENTICATED", 401),
    ],
)
def test_each_code_has_its_http_status(code: str, status: int) -> None:
    assert HTTP_STATUS[grpc.StatusCode[code]] == status


@pytest.mark.parametrize(("seconds", "text"), [(5.0, "5000"), (1e-9, "1"), (0.0, "0"), (16.1, "16100"), (0.0011, "2")])
def test_a_deadline_is_stated_in_milliseconds_rounded_up(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_422_is_never_used() -> None:
    assert 422 not in {reason.http_status for reason in load_catalogue()} | set(HTTP_STATUS.values())


def test_every_code_of_grpc_is_known_and_no_other() -> None:
    assert set(HTTP_STATUS) == set(grpc.StatusCode)
    assert status_code(16) is grpc.StatusCode.UNAUTHENTICATED
    assert status_code(99) is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("kind", domain_errors(), ids=lambda kind: kind.__name__)
def test_the_usual_reason_of_an_error_class_has_that_classs_code(kind: type[errors.StrikelineError]) -> None:
    words = "".join(f"_{letter}" if letter.isupper() else letter for letter in kind.__name__).strip("_").upper()
    expected = "INTERNAL" if kind is errors.StrikelineError else words

    assert load_catalogue().reason(kind.reason).code.name == expected


def test_every_metadata_key_is_shown_in_the_reasons_example() -> None:
    missing = [
        (reason.name, key)
        for reason in load_catalogue()
        for key in reason.metadata
        if f'"{key}"' not in reason.description
    ]

    assert missing == []


def test_the_code_names_no_reason_that_the_contract_does_not_know() -> None:
    files = [path for folder in ("server", "gateway") for path in (ROOT / folder).rglob("*.py")]
    known = {reason.name for reason in load_catalogue()}

    unknown = {str(path.relative_to(ROOT)): reasons_in(path) - known for path in files if reasons_in(path) - known}

    assert unknown == {}
