"""Random requests are right, spoilt requests are wrong in the one way intended."""

import protovalidate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.contract.methods import Method, load_contract
from server.contract.testing.examples.example import smallest
from server.contract.testing.faults import Fault, faults_of
from server.contract.testing.generation import valid_messages
from tests.fixtures.everything import compile_everything

METHODS = list(load_contract())
FAULTS = [(method, fault) for method in METHODS for fault in faults_of(method)]


def broken_fields(message) -> set[str]:
    """Paths of the fields that the rules complain about."""
    return {path_of(violation.proto) for violation in protovalidate.collect_violations(message)}


def path_of(violation) -> str:
    if violation.field is None:
        return violation.rule_id.rpartition(".")[0]
    names = []
    for element in violation.field.elements:
        index = f"[{element.subscript.value}]" if element.subscript is not None else ""
        names.append(f"{element.field_name}{index}")
    return ".".join(names)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_random_request_fulfils_every_rule(method: Method, data: st.DataObject) -> None:
    assert broken_fields(data.draw(valid_messages(method.request))) == set()


@pytest.mark.parametrize(("method", "fault"), FAULTS, ids=[f"{method.name}-{fault.label}" for method, fault in FAULTS])
def test_a_fault_breaks_a_rule_of_its_field(method: Method, fault: Fault) -> None:
    request = smallest(method.request)

    fault.apply(request)

    assert fault.field in broken_fields(request)


def test_every_method_with_a_bounded_request_has_faults() -> None:
    without = {method.name for method in METHODS} - {method.name for method, _ in FAULTS}

    assert without == {
        "CreateStreamTicket", "GetAccount", "GetCallerIdentity", "GetInstrumentStats", "GetMonitorStatus",
        "GetServerInfo",
    }  # fmt: skip


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_kind_of_field_can_be_made(data: st.DataObject) -> None:
    specimen = compile_everything().message("Specimen")

    made = data.draw(valid_messages(specimen.DESCRIPTOR))

    assert specimen.FromString(made.SerializeToString()) == made
