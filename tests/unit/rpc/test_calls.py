"""One call through the whole wrapper, over a real connection."""

import asyncio
import json
import logging

import grpc
import pytest

from server.domain.errors import FieldViolation, InvalidArgument, NotFound, Unavailable
from server.observability.logs import JsonFormatter
from strikeline.v1 import account_pb2, account_service_pb2, leg_requests_pb2, system_service_pb2
from tests.support.rpc_server import Caller, Parts, failed, running

GET_ACCOUNT = "/strikeline.v1.AccountService/GetAccount"
CREATE_ACCOUNT = "/strikeline.v1.AccountService/CreateAccount"
CREATE_LEG = "/strikeline.v1.StrategyService/CreateLeg"
SERVER_INFO = "/strikeline.v1.SystemService/GetServerInfo"
REASONS = "/strikeline.v1.SystemService/ListErrorReasons"
MINE = account_service_pb2.GetAccountRequest(account="mine")


class Accounts:
    """Answers with the account asked for, or does what the test says."""

    def __init__(self) -> None:
        self.work = self.answer
        self.calls = []

    async def answer(self, request, call):
        return account_pb2.Account(account=request.account)

    async def GetAccount(self, request, call):  # noqa: N802
        self.calls.append(call)
        return await self.work(request, call)

    async def CreateAccount(self, request, call):  # noqa: N802
        return account_pb2.Account(account="new", display_name=request.account.display_name)


class Strategies:
    async def CreateLeg(self, request, call):  # noqa: N802
        raise AssertionError("a wrong request never arrives")


class System:
    async def GetServerInfo(self, request, call):  # noqa: N802
        return system_service_pb2.GetServerInfoResponse(version="1")

    async def ListErrorReasons(self, request, call):  # noqa: N802
        return system_service_pb2.ListErrorReasonsResponse()


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
async def call(parts, accounts):
    servicers = {"AccountService": accounts, "SystemService": System(), "StrategyService": Strategies()}
    async with running(parts, servicers) as caller:
        yield caller


async def test_a_good_call_is_answered(call: Caller, parts):
    answer = await call(GET_ACCOUNT, MINE, token=parts.token())

    assert answer.code is grpc.StatusCode.OK
    assert answer.message.account == "mine"


async def test_a_public_method_needs_no_credential(call: Caller):
    assert (await call(SERVER_INFO)).message.version == "1"


async def test_a_missing_credential_is_refused(call: Caller):
    answer = await call(GET_ACCOUNT, MINE)

    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert (answer.info.domain, answer.info.reason) == ("strikeline", "CREDENTIAL_MISSING")


async def test_a_scope_does_not_imply_another(call: Caller, parts):
    request = account_service_pb2.CreateAccountRequest(account=account_pb2.Account(display_name="New"))

    answer = await call(CREATE_ACCOUNT, request, token=parts.token(scope="read admin"))

    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert (answer.info.reason, dict(answer.info.metadata)) == ("SCOPE_MISSING", {"scope": "trade"})


async def test_a_foreign_account_that_is_named_is_refused(call: Caller, parts, accounts):
    answer = await call(GET_ACCOUNT, account_service_pb2.GetAccountRequest(account="theirs"), token=parts.token())

    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert (answer.info.reason, dict(answer.info.metadata)) == ("ACCOUNT_FORBIDDEN", {"account": "theirs"})
    assert accounts.calls == []


async def test_a_credential_may_be_limited_to_some_of_the_users_accounts(call: Caller, parts):
    answer = await call(GET_ACCOUNT, MINE, token=parts.token(accounts=["other"]))

    assert answer.info.reason == "ACCOUNT_FORBIDDEN"


async def test_every_violation_is_named(call: Caller, parts):
    request = leg_requests_pb2.CreateLegRequest(account="mine", strategy="s")
    request.leg.quantity = -1

    answer = await call(CREATE_LEG, request, token=parts.token())

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.info.reason == "VALIDATION_FAILED"
    fields = {violation.field for violation in answer.bad_request.field_violations}
    assert fields >= {"leg.instrument", "leg.side", "leg.quantity", "leg.entry_price"}


async def test_an_account_that_is_left_out_is_named_as_violation(call: Caller, parts):
    answer = await call(GET_ACCOUNT, account_service_pb2.GetAccountRequest(), token=parts.token())

    assert {violation.field for violation in answer.bad_request.field_violations} == {"account"}


async def test_bytes_that_are_no_request_are_refused(call: Caller, parts):
    answer = await call(GET_ACCOUNT, b"\xff\xff\xff", token=parts.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


async def test_an_unknown_method_is_unimplemented(call: Caller):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.channel.unary_unary("/strikeline.v1.AccountService/NoSuch")(b"")

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_method_is_refused_with_a_status_of_the_usual_shape(call: Caller):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.channel.unary_unary("/strikeline.v1.AccountService/NoSuch")(
            b"", metadata=(("x-correlation-id", "mine"),)
        )

    answer = failed(refused.value)
    assert (answer.info.domain, answer.info.reason, dict(answer.info.metadata), answer.request_id) == (
        "strikeline",
        "METHOD_UNKNOWN",
        {"method": "strikeline.v1.AccountService/NoSuch"},
        "mine",
    )


async def test_an_unknown_stream_is_refused_before_it_has_sent_anything(call: Caller):
    stream = call.channel.stream_stream("/strikeline.v1.NoSuchService/Talk")()

    async with asyncio.timeout(5):
        code = await stream.code()

    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_domain_error_arrives_whole(call: Caller, parts, accounts):
    async def fail(request, call):
        raise Unavailable("away", reason="DATABASE_UNAVAILABLE", retry_after=1.5)

    accounts.work = fail

    answer = await call(GET_ACCOUNT, MINE, token=parts.token(), x_correlation_id="trace-me")

    assert (answer.code, answer.status.message) == (grpc.StatusCode.UNAVAILABLE, "away")
    assert answer.retry.retry_delay.ToMilliseconds() == 1_500
    assert answer.request_id == "trace-me"


async def test_field_violations_come_with_any_error(call: Caller, parts, accounts):
    async def fail(request, call):
        raise NotFound("no", violations=(FieldViolation("instrument", "names nothing"),))

    accounts.work = fail

    answer = await call(GET_ACCOUNT, MINE, token=parts.token())

    assert answer.code is grpc.StatusCode.NOT_FOUND
    assert answer.bad_request.field_violations[0].field == "instrument"


async def test_an_unforeseen_error_is_masked_and_logged_with_the_id(call: Caller, parts, accounts, caplog):
    async def fail(request, call):
        raise RuntimeError("password=hunter2 in table accounts")

    accounts.work = fail

    answer = await call(GET_ACCOUNT, MINE, token=parts.token(), x_correlation_id="trace-me")

    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.status.message == "internal error; quote correlation id trace-me"
    assert "hunter2" not in str(answer.status)
    assert any("trace-me" in record.getMessage() and record.exc_info for record in caplog.records)


async def test_a_timeout_within_the_service_is_not_taken_for_the_deadline(call: Caller, parts, accounts):
    async def fail(request, call):
        raise TimeoutError

    accounts.work = fail

    assert (await call(GET_ACCOUNT, MINE, token=parts.token())).code is grpc.StatusCode.INTERNAL


async def test_the_callers_deadline_wins_when_it_is_shorter(call: Caller, parts, accounts):
    await call(GET_ACCOUNT, MINE, token=parts.token(), timeout=0.5)
    await call(GET_ACCOUNT, MINE, token=parts.token(), timeout=60)

    now = asyncio.get_running_loop().time()
    assert accounts.calls[0].deadline - now <= 0.5
    assert 1.0 < accounts.calls[1].deadline - now <= 2.0


async def test_the_correlation_id_comes_back(call: Caller):
    answer = await call(SERVER_INFO, x_correlation_id="given-by-caller")

    assert answer.headers["x-correlation-id"] == "given-by-caller"
    assert float(answer.headers["x-process-time"]) < 5


@pytest.mark.parametrize("stated", ["", "a" * 65, "spaces in it", 'quote"'])
async def test_a_correlation_id_of_the_wrong_form_is_replaced(call: Caller, stated):
    answer = await call(SERVER_INFO, x_correlation_id=stated)

    assert len(answer.headers["x-correlation-id"]) == 32


async def test_quota_headers_come_with_every_answer(call: Caller, parts):
    answer = await call(GET_ACCOUNT, MINE, token=parts.token())

    assert answer.headers["ratelimit-limit"] == "30000"
    assert answer.headers["ratelimit-remaining"] == "499"


async def test_a_used_up_quota_says_when_to_come_back(call: Caller, parts):
    for _ in range(100):
        await call(GET_ACCOUNT, MINE, token=parts.token(tier="free"))

    answer = await call(GET_ACCOUNT, MINE, token=parts.token(tier="free"))

    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.headers["ratelimit-remaining"] == "0"
    assert answer.headers["ratelimit-reset"] == "1"
    assert answer.retry.retry_delay.ToMilliseconds() == 600


async def test_reads_go_on_without_the_limiter_and_say_so(call: Caller, parts):
    parts.buckets.away = True

    answer = await call(GET_ACCOUNT, MINE, token=parts.token())

    assert answer.code is grpc.StatusCode.OK
    assert answer.headers["ratelimit-status"] == "unavailable"


async def test_an_answer_that_may_be_kept_says_for_how_long(call: Caller):
    assert (await call(REASONS)).headers["cache-control"] == "private, max-age=3600"


async def test_a_call_makes_one_log_line_without_secrets(call: Caller, parts, caplog):
    token = parts.token()
    with caplog.at_level(logging.INFO, "strikeline.rpc"):
        await call(GET_ACCOUNT, MINE, token=token, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        parts.telemetry.log.flush()

    (record,) = [record for record in caplog.records if record.name == "strikeline.rpc"]
    line = json.loads(JsonFormatter().format(record))
    assert line["method"] == GET_ACCOUNT
    assert line["code"] == "OK"
    assert line["level"] == "INFO"
    assert line["user"] == "demo"
    assert line["credential"] == "credential-1"
    assert line["trace_id"] == "a" * 32
    assert line["peer"] == "127.0.0.1"
    assert token not in json.dumps(line)


async def test_lines_of_good_calls_are_written_together_and_soon(call: Caller, parts, caplog):
    written = asyncio.Event()
    caplog.handler.addFilter(lambda record: written.set() or True)
    with caplog.at_level(logging.INFO, "strikeline.rpc"):
        for _ in range(2):
            await call(SERVER_INFO)
        async with asyncio.timeout(5):
            await written.wait()

    assert [record.getMessage() for record in caplog.records if record.name == "strikeline.rpc"] == ["calls"]


async def test_the_line_of_a_failed_server_is_written_at_once(call: Caller, parts, accounts, caplog):
    async def fail(request, call):
        raise Unavailable("away")

    accounts.work = fail

    await call(GET_ACCOUNT, MINE, token=parts.token())

    assert [record.levelname for record in caplog.records if record.name == "strikeline.rpc"] == ["WARNING"]


async def test_calls_are_counted_by_method_and_code(call: Caller, parts):
    await call(GET_ACCOUNT, MINE, token=parts.token())
    await call(GET_ACCOUNT, MINE)

    def value(name: str, **labels: str) -> float | None:
        return parts.registry.get_sample_value(name, {"service": "AccountService", "method": "GetAccount", **labels})

    assert value("strikeline_rpc_calls_total", code="OK") == 1
    assert value("strikeline_rpc_calls_total", code="UNAUTHENTICATED") == 1
    assert value("strikeline_rpc_seconds_count") == 2
    assert value("strikeline_rpc_running") == 0


async def test_a_call_that_the_client_cancels_ends_the_work(call: Caller, parts, accounts):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(request, call):
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    accounts.work = hang
    running_call = call.channel.unary_unary(GET_ACCOUNT)(
        MINE.SerializeToString(), metadata=(("authorization", f"Bearer {parts.token()}"),)
    )
    async with asyncio.timeout(5):
        await begun.wait()
        running_call.cancel()
        await ended.wait()


async def test_a_ticket_works_once_and_gives_a_session(call: Caller, parts, accounts):
    principal = await _principal(call, parts, accounts)
    ticket, _ = await parts.sessions.issue(principal)

    first = await call(GET_ACCOUNT, MINE, x_strikeline_ticket=ticket)
    second = await call(GET_ACCOUNT, MINE, x_strikeline_ticket=ticket)
    onward = await call(GET_ACCOUNT, MINE, x_strikeline_session=first.headers["x-strikeline-session"])

    assert first.code is grpc.StatusCode.OK
    assert (second.code, second.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TICKET_INVALID")
    assert onward.code is grpc.StatusCode.OK


async def test_a_changed_session_is_refused(call: Caller, parts, accounts):
    session = parts.sessions.seal(await _principal(call, parts, accounts))

    answer = await call(GET_ACCOUNT, MINE, x_strikeline_session="x" + session)

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def _principal(call, parts, accounts):
    await call(GET_ACCOUNT, MINE, token=parts.token())
    return accounts.calls[-1].principal


async def test_a_wrong_request_of_a_service_names_its_field(call: Caller, parts, accounts):
    async def fail(request, call):
        raise InvalidArgument.of("timeframe", "unknown", reason="TIMEFRAME_UNKNOWN")

    accounts.work = fail

    answer = await call(GET_ACCOUNT, MINE, token=parts.token())

    assert answer.info.reason == "TIMEFRAME_UNKNOWN"
    assert answer.bad_request.field_violations[0].field == "timeframe"
