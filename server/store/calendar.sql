-- name: weekdays
SELECT weekday, open, close, first, last FROM calendar_weekdays WHERE calendar = $1 ORDER BY weekday, first, open;

-- name: dated
SELECT date, kind, open, close, label FROM calendar_sessions WHERE calendar = $1 ORDER BY date, open NULLS FIRST;
