"""Facts of the exchanges' calendars, 2019 to 2026, with where each is from.

One line a fact, exchange time: date, `holiday` or the hours of a special session, label, source. Days without a line
trade in the weekly hours. A day may have several sessions. Checked line by line: the trading days that follow from
these lines are those observed from 2019-10-01 to 2026-08-21.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

SOURCES = {
    "C": "NSE holiday circular",
    "O": "NSE holiday circular; no trading was observed",
    "L": "NSE holiday circular; two independent lists agree",
    "M": "NSE circular for the session's hours; trading was observed",
    "N": "NSE circular for the session's hours; two independent lists agree",
    "P": "NSE press releases of the day",
    "H": "NSE holiday circular for the date; hours as in most years, not confirmed",
    "X": "MCX holiday list",
    "D": "NSE holiday circular, currency derivatives",
}

# Calendar, first and last weekday (0 is Monday), hours, first day, source. Expiries and closes of the NSE calendar are
# 15:30 also after August 2026, when derivatives began to trade some minutes longer.
WEEKLY = (
    ("NSE", 0, 4, "09:15", "15:30", "2010-01-04", "NSE market timings"),
    ("MCX", 0, 4, "09:00", "23:30", "2010-01-04", "MCX market timings"),
    ("CDS", 0, 4, "09:00", "17:00", "2010-01-04", "NSE market timings, currency derivatives"),
)

NSE = """
2019-03-04 | holiday     | Mahashivratri                         | L
2019-03-21 | holiday     | Holi                                  | L
2019-04-17 | holiday     | Mahavir Jayanti                       | L
2019-04-19 | holiday     | Good Friday                           | L
2019-04-29 | holiday     | Parliamentary elections in Mumbai     | L
2019-05-01 | holiday     | Maharashtra Day                       | L
2019-06-05 | holiday     | Id-ul-Fitr                            | L
2019-08-12 | holiday     | Bakri Id                              | L
2019-08-15 | holiday     | Independence Day                      | L
2019-09-02 | holiday     | Ganesh Chaturthi                      | L
2019-09-10 | holiday     | Muharram                              | L
2019-10-02 | holiday     | Mahatma Gandhi Jayanti                | O
2019-10-08 | holiday     | Dussehra                              | O
2019-10-21 | holiday     | Maharashtra Assembly elections        | O
2019-10-27 | 18:15-19:15 | Muhurat (Sunday)                      | M
2019-10-28 | holiday     | Diwali Balipratipada                  | O
2019-11-12 | holiday     | Gurunanak Jayanti                     | O
2019-12-25 | holiday     | Christmas                             | O
2020-02-01 | 09:15-15:30 | Union Budget (Saturday)               | M
2020-02-21 | holiday     | Mahashivratri                         | O
2020-03-10 | holiday     | Holi                                  | O
2020-04-02 | holiday     | Ram Navami                            | O
2020-04-06 | holiday     | Mahavir Jayanti                       | O
2020-04-10 | holiday     | Good Friday                           | O
2020-04-14 | holiday     | Dr Ambedkar Jayanti                   | O
2020-05-01 | holiday     | Maharashtra Day                       | O
2020-05-25 | holiday     | Id-ul-Fitr                            | O
2020-10-02 | holiday     | Mahatma Gandhi Jayanti                | O
2020-11-14 | 18:15-19:15 | Muhurat (Saturday)                    | M
2020-11-16 | holiday     | Diwali Balipratipada                  | O
2020-11-30 | holiday     | Gurunanak Jayanti                     | O
2020-12-25 | holiday     | Christmas                             | O
2021-01-26 | holiday     | Republic Day                          | O
2021-02-24 | 09:15-11:40 | Until the exchange's outage           | P
2021-02-24 | 15:45-17:00 | Extended after the exchange's outage  | P
2021-03-11 | holiday     | Mahashivratri                         | O
2021-03-29 | holiday     | Holi                                  | O
2021-04-02 | holiday     | Good Friday                           | O
2021-04-14 | holiday     | Dr Ambedkar Jayanti                   | O
2021-04-21 | holiday     | Ram Navami                            | O
2021-05-13 | holiday     | Id-ul-Fitr                            | O
2021-07-21 | holiday     | Bakri Id                              | O
2021-08-19 | holiday     | Muharram                              | O
2021-09-10 | holiday     | Ganesh Chaturthi                      | O
2021-10-15 | holiday     | Dussehra                              | O
2021-11-04 | 18:15-19:15 | Muhurat                               | N
2021-11-05 | holiday     | Diwali Balipratipada                  | O
2021-11-19 | holiday     | Gurunanak Jayanti                     | O
2022-01-26 | holiday     | Republic Day                          | O
2022-03-01 | holiday     | Mahashivratri                         | O
2022-03-18 | holiday     | Holi                                  | O
2022-04-14 | holiday     | Dr Ambedkar and Mahavir Jayanti       | O
2022-04-15 | holiday     | Good Friday                           | O
2022-05-03 | holiday     | Id-ul-Fitr                            | O
2022-08-09 | holiday     | Muharram                              | O
2022-08-15 | holiday     | Independence Day                      | O
2022-08-31 | holiday     | Ganesh Chaturthi                      | O
2022-10-05 | holiday     | Dussehra                              | O
2022-10-24 | 18:15-19:15 | Muhurat                               | M
2022-10-26 | holiday     | Diwali Balipratipada                  | O
2022-11-08 | holiday     | Gurunanak Jayanti                     | O
2023-01-26 | holiday     | Republic Day                          | O
2023-03-07 | holiday     | Holi                                  | O
2023-03-30 | holiday     | Ram Navami                            | O
2023-04-04 | holiday     | Mahavir Jayanti                       | O
2023-04-07 | holiday     | Good Friday                           | O
2023-04-14 | holiday     | Dr Ambedkar Jayanti                   | O
2023-05-01 | holiday     | Maharashtra Day                       | O
2023-06-29 | holiday     | Bakri Id                              | O
2023-08-15 | holiday     | Independence Day                      | O
2023-09-19 | holiday     | Ganesh Chaturthi                      | O
2023-10-02 | holiday     | Mahatma Gandhi Jayanti                | O
2023-10-24 | holiday     | Dussehra                              | O
2023-11-12 | 18:15-19:15 | Muhurat (Sunday)                      | M
2023-11-14 | holiday     | Diwali Balipratipada                  | O
2023-11-27 | holiday     | Gurunanak Jayanti                     | O
2023-12-25 | holiday     | Christmas                             | O
2024-01-20 | 09:15-15:30 | Full session (Saturday)               | M
2024-01-22 | holiday     | Special holiday                       | O
2024-01-26 | holiday     | Republic Day                          | O
2024-03-02 | 09:15-10:00 | Primary site (Saturday)               | M
2024-03-02 | 11:30-12:30 | Disaster recovery site (Saturday)     | M
2024-03-08 | holiday     | Mahashivratri                         | O
2024-03-25 | holiday     | Holi                                  | O
2024-03-29 | holiday     | Good Friday                           | O
2024-04-11 | holiday     | Id-ul-Fitr                            | O
2024-04-17 | holiday     | Ram Navami                            | O
2024-05-01 | holiday     | Maharashtra Day                       | O
2024-05-18 | 09:15-10:00 | Primary site (Saturday)               | M
2024-05-18 | 11:45-12:40 | Disaster recovery site (Saturday)     | M
2024-05-20 | holiday     | Parliamentary elections in Mumbai     | O
2024-06-17 | holiday     | Bakri Id                              | O
2024-07-17 | holiday     | Muharram                              | O
2024-08-15 | holiday     | Independence Day                      | O
2024-10-02 | holiday     | Mahatma Gandhi Jayanti                | O
2024-11-01 | 18:00-19:00 | Muhurat                               | M
2024-11-15 | holiday     | Gurunanak Jayanti                     | O
2024-11-20 | holiday     | Maharashtra Assembly elections        | O
2024-12-25 | holiday     | Christmas                             | O
2025-02-01 | 09:15-15:30 | Union Budget (Saturday)               | M
2025-02-26 | holiday     | Mahashivratri                         | O
2025-03-14 | holiday     | Holi                                  | O
2025-03-31 | holiday     | Id-ul-Fitr                            | O
2025-04-10 | holiday     | Mahavir Jayanti                       | O
2025-04-14 | holiday     | Dr Ambedkar Jayanti                   | O
2025-04-18 | holiday     | Good Friday                           | O
2025-05-01 | holiday     | Maharashtra Day                       | O
2025-08-15 | holiday     | Independence Day                      | O
2025-08-27 | holiday     | Ganesh Chaturthi                      | O
2025-10-02 | holiday     | Gandhi Jayanti and Dussehra           | O
2025-10-21 | 13:45-14:45 | Muhurat                               | M
2025-10-22 | holiday     | Diwali Balipratipada                  | O
2025-11-05 | holiday     | Gurunanak Jayanti                     | O
2025-12-25 | holiday     | Christmas                             | O
2026-01-15 | holiday     | Municipal elections in Maharashtra    | O
2026-01-26 | holiday     | Republic Day                          | O
2026-02-01 | 09:15-15:30 | Union Budget (Sunday)                 | M
2026-03-03 | holiday     | Holi                                  | O
2026-03-26 | holiday     | Ram Navami                            | O
2026-03-31 | holiday     | Mahavir Jayanti                       | O
2026-04-03 | holiday     | Good Friday                           | O
2026-04-14 | holiday     | Dr Ambedkar Jayanti                   | O
2026-05-01 | holiday     | Maharashtra Day                       | O
2026-05-28 | holiday     | Bakri Id                              | O
2026-06-26 | holiday     | Muharram                              | O
2026-09-14 | holiday     | Ganesh Chaturthi                      | C
2026-10-02 | holiday     | Mahatma Gandhi Jayanti                | C
2026-10-20 | holiday     | Dussehra                              | C
2026-11-08 | 18:15-19:15 | Muhurat (Sunday)                      | H
2026-11-10 | holiday     | Diwali Balipratipada                  | C
2026-11-24 | holiday     | Gurunanak Jayanti                     | C
2026-12-25 | holiday     | Christmas                             | C
"""

MCX = """
2026-01-01 | 09:00-17:00 | New Year, morning only               | X
2026-01-26 | holiday     | Republic Day                         | X
2026-03-03 | 17:00-23:30 | Holi, evening only                   | X
2026-03-26 | 17:00-23:30 | Ram Navami, evening only             | X
2026-03-31 | 17:00-23:30 | Mahavir Jayanti, evening only        | X
2026-04-03 | holiday     | Good Friday                          | X
2026-04-14 | 17:00-23:30 | Dr Ambedkar Jayanti, evening only    | X
2026-05-01 | 17:00-23:30 | Maharashtra Day, evening only        | X
2026-05-28 | 17:00-23:30 | Bakri Id, evening only               | X
2026-06-26 | 17:00-23:30 | Muharram, evening only               | X
2026-09-14 | 17:00-23:30 | Ganesh Chaturthi, evening only       | X
2026-10-02 | holiday     | Mahatma Gandhi Jayanti               | X
2026-10-20 | 17:00-23:30 | Dussehra, evening only               | X
2026-11-08 | 18:15-19:15 | Muhurat (Sunday)                     | H
2026-11-10 | 17:00-23:30 | Diwali Balipratipada, evening only   | X
2026-11-24 | 17:00-23:30 | Gurunanak Jayanti, evening only      | X
2026-12-25 | holiday     | Christmas                            | X
"""

CDS = """
2026-01-15 | holiday     | Municipal elections in Maharashtra   | D
2026-01-26 | holiday     | Republic Day                         | D
2026-02-19 | holiday     | Chhatrapati Shivaji Maharaj Jayanti  | D
2026-03-03 | holiday     | Holi                                 | D
2026-03-19 | holiday     | Gudi Padwa                           | D
2026-03-26 | holiday     | Ram Navami                           | D
2026-03-31 | holiday     | Mahavir Jayanti                      | D
2026-04-01 | holiday     | Annual bank closing                  | D
2026-04-03 | holiday     | Good Friday                          | D
2026-04-14 | holiday     | Dr Ambedkar Jayanti                  | D
2026-05-01 | holiday     | Maharashtra Day                      | D
2026-05-28 | holiday     | Bakri Id                             | D
2026-06-26 | holiday     | Muharram                             | D
2026-08-26 | holiday     | Id-e-Milad                           | D
2026-09-14 | holiday     | Ganesh Chaturthi                     | D
2026-10-02 | holiday     | Mahatma Gandhi Jayanti               | D
2026-10-20 | holiday     | Dussehra                             | D
2026-11-10 | holiday     | Diwali Balipratipada                 | D
2026-11-24 | holiday     | Gurunanak Jayanti                    | D
2026-12-25 | holiday     | Christmas                            | D
"""

INSERT_WEEKDAY = """
INSERT INTO calendar_weekdays (calendar, weekday, open, close, first, source) VALUES (%s, %s, %s, %s, %s, %s)
"""
INSERT_SESSION = """
INSERT INTO calendar_sessions (calendar, date, kind, open, close, label, source) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


def weekday_rows() -> list[tuple[str, int, str, str, str, str]]:
    """Rows of calendar_weekdays in the order of INSERT_WEEKDAY."""
    return [
        (calendar, weekday, opening, closing, first, source)
        for calendar, monday, friday, opening, closing, first, source in WEEKLY
        for weekday in range(monday, friday + 1)
    ]


def session_rows() -> list[tuple[str, str, str, str | None, str | None, str, str]]:
    """Rows of calendar_sessions in the order of INSERT_SESSION."""
    rows = []
    for calendar, facts in (("NSE", NSE), ("MCX", MCX), ("CDS", CDS)):
        for line in facts.strip().splitlines():
            day, hours, label, source = (field.strip() for field in line.split("|"))
            opening, dash, closing = hours.partition("-")
            kind = ("special", opening, closing) if dash else ("holiday", None, None)
            rows.append((calendar, day, *kind, label, SOURCES[source]))
    return rows


def upgrade() -> None:
    with op.get_bind().connection.cursor() as cursor:
        cursor.executemany(INSERT_WEEKDAY, weekday_rows())
        cursor.executemany(INSERT_SESSION, session_rows())


def downgrade() -> None:
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute("DELETE FROM calendar_sessions WHERE calendar IN ('NSE', 'MCX', 'CDS')")
        cursor.execute("DELETE FROM calendar_weekdays WHERE calendar IN ('NSE', 'MCX', 'CDS')")
