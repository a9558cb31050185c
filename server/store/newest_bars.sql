-- What was last known of instruments at a time, from bars of whatever length.

-- name: newest
-- For each instrument ($1) the newest bar of each length that began before its cut: minutes before $2, recorded bars of timeframe
-- $3[n] before $4[n]. `day_volume` is what the bars of that length add up to since midnight of the exchange's day.
SELECT number AS instrument_id, newest.*
FROM unnest($1::integer[]) AS wanted (number)
CROSS JOIN LATERAL (
    SELECT '1min' AS timeframe, bar.open_time, bar.close, bar.open_interest, '' AS source,
           (SELECT sum(part.volume)::bigint FROM bars_1m part
            WHERE part.instrument_id = number AND part.open_time <= bar.open_time
              AND part.open_time >= date_trunc('day', bar.open_time, 'Asia/Kolkata')) AS day_volume
    FROM (SELECT open_time, close, open_interest FROM bars_1m
          WHERE instrument_id = number AND open_time < $2
          ORDER BY open_time DESC LIMIT 1) AS bar
    UNION ALL
    SELECT length.timeframe, bar.open_time, bar.close, bar.open_interest, bar.source,
           (SELECT sum(part.volume)::bigint FROM bars_stored part
            WHERE part.instrument_id = number AND part.timeframe = length.timeframe AND part.open_time <= bar.open_time
              AND part.open_time >= date_trunc('day', bar.open_time, 'Asia/Kolkata')) AS day_volume
    FROM unnest($3::text[], $4::timestamptz[]) AS length (timeframe, cut)
    CROSS JOIN LATERAL (
        SELECT open_time, close, open_interest, source FROM bars_stored
        WHERE instrument_id = number AND timeframe = length.timeframe AND open_time < length.cut
        ORDER BY open_time DESC LIMIT 1) AS bar
) AS newest;
