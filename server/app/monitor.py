"""Makes the monitor's part of the api out of settings, store and hub."""

from __future__ import annotations

import time
from collections.abc import Mapping

from server.app.core import Core
from server.domain.calendar import MarketCalendar
from server.market.clock import SystemClock
from server.market.hub.hub import Hub
from server.services.listed_expiries import ListedExpiries
from server.services.live_market import LiveMarket
from server.services.monitor import Monitor, MonitorSymbols
from server.services.monitor_screens import MonitorScreens
from server.services.monitor_selection import MonitorSelections
from server.services.monitor_sessions import MonitorSessions, SessionParts
from server.services.monitor_watch import MonitorWatch
from server.services.quotes import NewestPrices, StoredQuotes
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from server.store.bars import BarStore
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import InstrumentStore
from server.store.monitor_sessions import MonitorSessionStore, SessionLimits


def make_monitor(core: Core, hub: Hub, calendars: Mapping[str, MarketCalendar], given: Assumptions) -> Monitor:
    """The parts, with the watch over open streams as a task of the role."""
    database, market, clock = core.database, LiveMarket(hub), SystemClock()
    master = InstrumentStore(database)
    stored = StoredQuotes(BarStore(database), calendars, hub.market_time)
    selections = MonitorSelections(
        hub.chains,
        ListedExpiries(ExpiryListingStore(database), time.monotonic),
        market,
        master,
        UnvaluedChains(master, given),
        NewestPrices(hub, stored),
        clock,
    )
    limit = core.settings.monitor_sessions_per_user
    sessions = MonitorSessionStore(database, SessionLimits(core.settings.monitor_session_ttl, limit))
    watch = MonitorWatch(sessions, hub, clock)
    core.supervisor.start("monitor", watch.run)
    return Monitor(
        MonitorScreens(selections, hub, stored, master, market),
        MonitorSymbols(master, market, clock),
        MonitorSessions(SessionParts(sessions, watch, selections, master, hub, limit)),
    )
