-- What the worker's chains are built on: contracts of expiries, underlyings' own instruments, open interest at day end.

-- name: contracts
-- Options and futures of the (underlying, expiry) pairs of two parallel arrays.
SELECT contract.instrument_id, contract.key, contract.exchange, contract.tradingsymbol, contract.token, contract.name,
       contract.kind, contract.underlying, contract.expiry, contract.strike, contract.tick_size, contract.lot_size,
       contract.freeze_quantity, contract.segment, contract.provenance
FROM unnest($1::text[], $2::date[]) AS wanted (underlying, expiry)
JOIN instruments contract ON contract.underlying = wanted.underlying AND contract.expiry = wanted.expiry
ORDER BY contract.instrument_id;

-- name: spots
-- Indices that bear one of the names of $1, and instruments with one of the keys of $2, that are no derivatives.
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments
WHERE expiry IS NULL AND (kind = 'INDEX' AND underlying = ANY ($1::text[]) OR key = ANY ($2::text[]))
ORDER BY instrument_id;

-- name: last_open_interest
-- The newest open interest of each instrument within [$2, $3), by the minutes of its chain, which know it without a trade,
-- or by its bars.
SELECT wanted.instrument_id, newest.open_interest
FROM unnest($1::integer[]) AS wanted (instrument_id)
CROSS JOIN LATERAL (
    (SELECT open_time, open_interest, 1 AS rank FROM option_minutes
     WHERE instrument_id = wanted.instrument_id AND open_time >= $2 AND open_time < $3 AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    UNION ALL
    (SELECT open_time, open_interest, 2 FROM bars_1m
     WHERE instrument_id = wanted.instrument_id AND open_time >= $2 AND open_time < $3 AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    ORDER BY open_time DESC, rank LIMIT 1
) AS newest;

-- name: last_daily_open_interest
-- The same of recorded daily bars.
SELECT instrument_id, open_interest
FROM bars_stored
WHERE instrument_id = ANY ($1::integer[]) AND timeframe = '1day' AND open_time >= $2 AND open_time < $3
  AND open_interest IS NOT NULL;
