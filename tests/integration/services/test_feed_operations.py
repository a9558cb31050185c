"""Feed subscriptions and backfills over gRPC, on a real database."""

import grpc
import pytest

from server.store.backfills import BackfillStore
from strikeline.v1 import backfill_pb2 as backfills
from strikeline.v1 import feed_subscription_pb2 as subscriptions
from tests.support.market import instruments, option

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.InstrumentService/"
OPEN, CLOSE = "2025-11-10T03:45:00Z", "2025-11-10T10:00:00Z"


async def ask(api, name: str, request, scope: str = "admin"):
    return await api.call(SERVICE + name, request, token=api.token(scope=scope))


async def subscribe(api, *names: str):
    wanted = subscriptions.FeedSubscription(instruments=names)
    return await ask(
        api, "CreateFeedSubscription", subscriptions.CreateFeedSubscriptionRequest(feed_subscription=wanted)
    )


def backfill(*names: str, start: str = OPEN, end: str = CLOSE) -> backfills.StartBackfillRequest:
    request = backfills.StartBackfillRequest(instruments=names)
    request.start_time.FromJsonString(start)
    request.end_time.FromJsonString(end)
    return request


@pytest.fixture(autouse=True)
async def _master(worker_db) -> None:
    await instruments(worker_db)
    await instruments(worker_db, option(26_000))


async def test_a_subscription_keeps_keys_in_their_order_and_each_once(api):
    made = (await subscribe(api, "NSE:RELIANCE", "NSE:NIFTY50", "nse:reliance")).message

    listed = (await ask(api, "ListFeedSubscriptions", subscriptions.ListFeedSubscriptionsRequest())).message

    assert list(made.instruments) == ["NSE:RELIANCE", "NSE:NIFTY 50"]
    assert made.user == "demo"
    assert (listed.total_size, list(listed.feed_subscriptions)) == (1, [made])


async def test_subscriptions_are_paged_from_the_oldest(api):
    made = [(await subscribe(api, "NSE:RELIANCE")).message for _ in range(3)]

    found, token = [], ""
    for _ in range(2):
        request = subscriptions.ListFeedSubscriptionsRequest(page_size=2, page_token=token)
        page = (await ask(api, "ListFeedSubscriptions", request)).message
        found += page.feed_subscriptions
        token = page.next_page_token

    assert (found, token) == (made, "")


async def test_a_subscription_that_was_taken_back_is_gone(api):
    made = (await subscribe(api, "NSE:RELIANCE")).message
    request = subscriptions.DeleteFeedSubscriptionRequest(feed_subscription=made.feed_subscription)

    answers = [await ask(api, "DeleteFeedSubscription", request) for _ in range(2)]

    assert [answer.code for answer in answers] == [grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND]


async def test_only_administrators_may(api):
    answer = await ask(api, "StartBackfill", backfill("NSE:RELIANCE"), scope="read trade")

    assert answer.code == grpc.StatusCode.PERMISSION_DENIED


async def test_a_backfill_has_a_part_for_each_instrument_and_trading_day(api, worker_db):
    request = backfill("NSE:RELIANCE", "NSE:NIFTY 50", start="2025-11-07T03:45:00Z", end="2025-11-11T04:00:00Z")

    begun = (await ask(api, "StartBackfill", request)).message

    assert begun.state == backfills.BACKFILL_STATE_PENDING
    assert (begun.instrument_count, begun.day_count) == (2, 6)
    assert begun.start_time == request.start_time
    assert (await BackfillStore(worker_db).get(begun.backfill)).days == 6


async def test_a_contract_has_no_days_behind_its_expiry(api):
    request = backfill("NFO:NIFTY25NOV26000CE", start="2025-11-24T03:45:00Z", end="2025-11-28T10:00:00Z")

    begun = (await ask(api, "StartBackfill", request)).message

    assert begun.day_count == 2


async def test_progress_and_errors_are_told(api, worker_db):
    begun = (await ask(api, "StartBackfill", backfill("NSE:RELIANCE", "NSE:NIFTY 50"))).message
    store = BackfillStore(worker_db)
    first, second = [await store.claim("w", 60.0) for _ in range(2)]
    assert first is not None
    assert second is not None
    await store.note(first, 10)
    running = (await ask(api, "GetBackfill", backfills.GetBackfillRequest(backfill=begun.backfill))).message
    await store.finish(first, 2)
    await store.fail(second, "the token has expired")

    done = (await ask(api, "GetBackfill", backfills.GetBackfillRequest(backfill=begun.backfill))).message

    assert running.state == backfills.BACKFILL_STATE_RUNNING
    assert done.state == backfills.BACKFILL_STATE_FAILED
    assert (done.done_day_count, done.failed_day_count) == (1, 1)
    assert (done.missing_minute_count, done.filled_minute_count) == (10, 8)
    assert [(error.date, error.description) for error in done.errors] == [("2025-11-10", "the token has expired")]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (backfill("NSE:RELIANCE", start="2025-11-08T00:00:00Z", end="2025-11-09T00:00:00Z"), "end_time"),
        (backfill("NSE:RELIANCE", start="2025-01-01T00:00:00Z", end="2025-06-01T00:00:00Z"), "end_time"),
        (backfill("NSE:RELIANCE", start=CLOSE, end=OPEN), "end_time"),
        (backfill("NSE:RELIANCE", "NSE:NOSUCHSHARE"), "instruments[1]"),
    ],
    ids=["a weekend", "five months", "crossed", "unknown"],
)
async def test_what_cannot_be_filled_is_refused(api, request_: backfills.StartBackfillRequest, field: str):
    answer = await ask(api, "StartBackfill", request_)

    assert answer.bad_request.field_violations[0].field == field
