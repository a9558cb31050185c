"""Market calendars."""

from __future__ import annotations

from server.domain.calendar import DatedRow, MarketCalendar, WeekdayHours
from server.domain.errors import NotFound
from server.store.database import Database
from server.store.statements import Statements

_SQL = Statements.of("calendar")


class CalendarStore:
    """Reads calendars. They are filled by migrations and by the calendar's administration."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, calendar: str) -> MarketCalendar:
        """The calendar of that name, such as `NSE`. Raises NotFound when it has no weekly hours."""
        async with self._database.transaction(isolation="repeatable_read", read_only=True) as transaction:
            weekdays = await transaction.fetch(_SQL["weekdays"], calendar)
            dated = await transaction.fetch(_SQL["dated"], calendar)
        if not weekdays:
            raise NotFound(f"no calendar {calendar}", metadata={"resource": "calendar", "id": calendar})
        return MarketCalendar(
            calendar, (WeekdayHours(**dict(row)) for row in weekdays), (DatedRow(**dict(row)) for row in dated)
        )
