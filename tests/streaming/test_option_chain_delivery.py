"""How streams of option chains are delivered: guarantees, resumption, slow clients, and what is left of them."""

import asyncio
import random
from dataclasses import replace

import pytest

from server.domain.errors import ResourceExhausted
from server.domain.options.strike_range import AllStrikes, AroundMoney
from server.market.chains import pack_entries
from server.market.checkpoints import pack
from server.market.hub.channel import FLUSH_INTERVALS
from server.market.hub.options import DeliveryOptions, SlowPolicy
from server.store.worker_state import CheckpointStore
from strikeline.internal.v1 import log_pb2
from tests.streaming.checkers import bookmarkable, resumable, violations_of
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.leftovers import CYCLES, NOTHING, leftovers
from tests.streaming.market import SECOND
from tests.streaming.option_clients import DATES, behind, client_of, settled, updates
from tests.streaming.option_market import AFTER_EXPIRY, NEAR, NEXT, STRIKES, Seen, around


async def test_guarantees_hold_while_the_selection_moves(hub, options):
    async with client_of(hub, DATES) as client:
        client.read()
        await client.started()
        for forward in range(24_200, 24_800, 30):
            await options.move(forward, expiries=(NEAR, NEXT))
        await settled(hub, options)

    source = options.source(Seen({}), DATES, around(1))
    assert violations_of([client.connection], source) == []
    assert len(client.connection.events) == 40


async def test_stream_is_resumable_behind_each_of_its_messages(hub, options):
    async with client_of(hub, DATES) as client:
        client.read()
        await client.started()
        for forward in range(24_200, 24_800, 60):
            await options.move(forward, expiries=(NEAR, NEXT))
            await settled(hub, options)

    for envelope in client.connection.envelopes[2:]:
        async with client_of(hub, DATES, delivery=behind(envelope.token)) as resumed:
            resumed.read()
            await resumed.joined()
            await options.move(24_500, expiries=(NEAR, NEXT))
            await settled(hub, options)
        source = options.source(Seen({}), DATES, around(1))
        assert resumable(client.connection, resumed.connection, source) == []


async def test_token_works_on_another_replica(make, options):
    async with make() as one, make() as other:
        async with client_of(one, DATES) as client:
            client.read()
            await client.started()
            await options.move(24_200, 24_400, expiries=(NEAR, NEXT))
            await settled(one, options)
        await options.move(24_600, expiries=(NEAR, NEXT))
        async with client_of(other, DATES, delivery=behind(client.connection.last_token())) as resumed:
            resumed.read()
            await resumed.joined()
            await options.move(24_700, expiries=(NEAR, NEXT))
            await resumed.until(lambda: len(updates(resumed)) >= 4)

    source = options.source(Seen({}), DATES, around(1))
    assert violations_of([client.connection, resumed.connection], source) == []
    assert len(client.connection.events) + len(resumed.connection.events) == 8


async def test_label_that_rolled_while_the_client_was_away_is_resumed(make, options):
    async with make() as one, client_of(one, ["NWeek+0"]) as client:
        client.read()
        await client.started()
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(one, options)
    options.market.time = AFTER_EXPIRY
    await options.publish(ended=[NEAR])
    async with (
        make() as other,
        client_of(other, ["NWeek+0"], delivery=behind(client.connection.last_token())) as resumed,
    ):
        resumed.read()
        await resumed.until(lambda: len(updates(resumed)) == 2)

    assert [(item.chain.expiry, item.ended, item.rolled_from) for item in updates(resumed)] == [
        (DATES[0], True, ""),
        (DATES[1], False, DATES[0]),
    ]


async def test_end_of_a_date_is_told_to_a_client_that_was_away(hub, options):
    async with client_of(hub, DATES[:1]) as client:
        client.read()
        await client.started()
        await options.move(24_500)
        await settled(hub, options)
    options.market.time = AFTER_EXPIRY
    await options.publish(ended=[NEAR])
    await settled(hub, options)
    async with client_of(hub, DATES[:1], delivery=behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.until(lambda: len(updates(resumed)) == 1)

    assert updates(resumed)[0].ended


async def test_heartbeat_is_a_bookmark(hub, options, clock):
    async with client_of(hub, DATES, delivery=replace(AT_ONCE, heartbeat=1.0)) as client:
        client.read()
        await client.started()
        await options.move(24_500, 24_700, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await clock.advance(1.5)
    assert client.kinds[-1] == "heartbeat"
    async with client_of(hub, DATES, delivery=behind(client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.joined()
        await options.move(24_500)
        await resumed.until(lambda: len(updates(resumed)) == 1)

    assert bookmarkable(client.connection, resumed.connection) == []


async def test_slow_client_gets_the_latest_chain_of_each_expiry_compared_with_what_it_has(make, options):
    async with make(subscriber_queue_events=3) as hub, client_of(hub, DATES) as client:
        await client.take(2)
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(1)
        await options.move(24_600, 24_700, 24_800, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(2)

    assert client.messages[3].status.conflated_events == 4
    near, later = client.messages[4].batch.chains
    assert [near.item, later.item] == DATES
    assert near.chain.revision == 4
    assert near.window.recentred
    assert list(near.window.added_strikes) == [24_700, 24_800, 24_900]
    assert list(near.window.removed_strikes) == [24_400, 24_500, 24_600]


async def test_client_that_was_left_far_behind_is_compared_with_what_it_has(make, options, clock):
    async with make(subscriber_queue_age=2.0) as hub, client_of(hub, DATES[:1]) as client:
        await client.take(2)
        await options.move(24_500)
        await settled(hub, options)
        await client.take(1)
        for forward in (24_600, 24_700, 24_520):
            await options.move(forward)
            await settled(hub, options)
            await clock.advance(2.0)
        await client.take(2)

    assert client.messages[3].status.conflated_events == 2
    (item,) = client.messages[4].batch.chains
    assert (item.chain.revision, item.window.recentred) == (4, False)


async def test_slow_client_of_a_label_learns_that_it_rolled(make, options):
    async with make(subscriber_queue_events=2) as hub, client_of(hub, ["NWeek+0"]) as client:
        await client.take(2)
        await options.move(24_500, expiries=(NEAR, NEXT))
        await settled(hub, options)
        await client.take(1)
        options.market.time = AFTER_EXPIRY
        await options.publish(ended=[NEAR])
        await options.move(24_600, 24_700, expiries=(NEXT,))
        await settled(hub, options)
        await client.take(3)

    (item,) = client.messages[-1].batch.chains
    assert (item.chain.expiry, item.rolled_from, item.window.recentred) == (DATES[1], DATES[0], False)


async def test_client_that_wants_no_conflation_is_disconnected_with_the_reason(make, options):
    delivery = replace(AT_ONCE, slow=SlowPolicy.DISCONNECT)
    async with make(subscriber_queue_events=1) as hub, client_of(hub, DATES[:1], delivery=delivery) as client:
        await client.take(2)
        await options.move(24_500, 24_600, 24_700)
        await settled(hub, options)
        with pytest.raises(ResourceExhausted) as caught:
            await client.take(1)

    assert caught.value.reason == "SLOW_CONSUMER"


@pytest.mark.slow
async def test_ten_thousand_streams_leave_nothing(hub, options):
    chance = random.Random(5)
    await options.move(24_500, expiries=(NEAR, NEXT))
    await settled(hub, options)
    items = ["NWeek+0", "NMonth+1", *DATES]
    for _ in range(CYCLES):
        steps = AroundMoney(chance.randint(0, 400))
        delivery = DeliveryOptions(flush=chance.choice(FLUSH_INTERVALS))
        envelopes = hub.subscribe_option_chain(
            "NIFTY", chance.sample(items, chance.randint(1, 4)), steps, delivery, USER
        )
        for _ in range(chance.randint(0, 2)):
            await anext(envelopes)
        await envelopes.aclose()

    assert leftovers(hub) == NOTHING
    assert hub.intake.options.chains.followed == 0
    assert hub.intake.options.chains.channel.wanted.capacity <= 1_024


async def test_client_that_leaves_while_a_resumption_is_read_leaves_nothing(hub, options):
    await options.move(24_500)
    await settled(hub, options)
    async with client_of(hub, DATES) as client:
        await client.take(2)
    await options.move(*range(24_000, 25_000, 10))
    await settled(hub, options)
    for steps in range(60):
        resumed = client_of(hub, DATES, delivery=behind(client.connection.last_token()))
        resumed.read()
        for _ in range(steps):
            await asyncio.sleep(0)
        await resumed.leave()

    assert leftovers(hub) == NOTHING
    assert hub.intake.options.chains.followed == 0


async def test_an_entry_that_spans_market_time_is_resumed_within(hub, options):
    async with client_of(hub, DATES[:1], AllStrikes()) as client:
        client.read()
        await client.started()
        chains = []
        for _ in range(100):
            options.market.time += SECOND
            chains.append(options.value(forward=24_500.0))
        await options.publish(*chains)
        await client.until(lambda: len(updates(client)) == 100)

    assert len(client.connection.batches) > 1
    for envelope in client.connection.envelopes[2:]:
        async with client_of(hub, DATES[:1], AllStrikes(), behind(envelope.token)) as resumed:
            resumed.read()
            await resumed.joined()
            await options.move(24_500)
            source = options.source(Seen({}), DATES[:1], lambda _: STRIKES)
            happened = len([event for entry in source.entries for event in entry])
            known = sum(len(item.events) for item in client.connection.envelopes if item.sequence <= envelope.sequence)
            await resumed.until(lambda happened=happened, known=known: len(updates(resumed)) == happened - known)
        assert resumable(client.connection, resumed.connection, source) == []


async def test_a_hub_begins_with_the_checkpoint_of_the_chains(make, options, worker_db, chains_output):
    await options.move(24_500, expiries=(NEAR, NEXT))
    published = log_pb2.ChainsEntry(run="run-1", chains=[chain.state() for chain in options.published[0]])
    async with worker_db.transaction() as transaction:
        payload = pack({"published": pack_entries([published])})
        place = str(options.market.last_id)
        await CheckpointStore(worker_db).save_base(transaction, "chains-0", place, payload)
    await options.move(24_700)
    await chains_output.trim(str(options.market.last_id))
    async with make() as hub, client_of(hub, DATES) as client:
        await client.take(2)

    assert [(item.item, item.chain.revision) for item in updates(client, "snapshot")] == [(DATES[0], 2), (DATES[1], 1)]
