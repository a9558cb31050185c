-- The instrument master. Parameters of upsert are parallel arrays, one element an instrument.

-- name: upsert
-- Ids stay dense, because arrays are indexed by them: a sequence number is taken only for a row that is really new,
-- hence no ON CONFLICT for known keys. Of two sources the more authoritative one wins; an equal one updates.
WITH given AS (
    SELECT DISTINCT ON (key) *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::date[],
                $9::numeric[], $10::numeric[], $11::integer[], $12::integer[], $13::text[], $14::text[])
         WITH ORDINALITY AS row (key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size,
                                 lot_size, freeze_quantity, segment, provenance, position)
    ORDER BY key, position DESC
), changed AS (
    UPDATE instruments AS known
    SET token = coalesce(given.token, known.token), name = given.name, kind = given.kind,
        underlying = given.underlying, expiry = given.expiry, strike = given.strike, tick_size = given.tick_size,
        lot_size = given.lot_size, freeze_quantity = coalesce(given.freeze_quantity, known.freeze_quantity),
        segment = given.segment, provenance = given.provenance, updated_at = now()
    FROM given
    WHERE known.key = given.key
      AND array_position(ARRAY['replay', 'synthetic', 'ticker', 'seed', 'kite'], given.provenance)
          >= array_position(ARRAY['replay', 'synthetic', 'ticker', 'seed', 'kite'], known.provenance)
      AND (known.token, known.name, known.kind, known.underlying, known.expiry, known.strike, known.tick_size,
           known.lot_size, known.freeze_quantity, known.segment, known.provenance)
          IS DISTINCT FROM
          (coalesce(given.token, known.token), given.name, given.kind, given.underlying, given.expiry, given.strike,
           given.tick_size, given.lot_size, coalesce(given.freeze_quantity, known.freeze_quantity), given.segment,
           given.provenance)
), missing AS (
    SELECT given.* FROM given
    WHERE NOT EXISTS (SELECT FROM instruments AS known WHERE known.key = given.key)
    ORDER BY given.position
)
INSERT INTO instruments (exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
                         freeze_quantity, segment, provenance)
SELECT exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size, freeze_quantity,
       segment, provenance
FROM missing
ON CONFLICT ON CONSTRAINT instruments_key_key DO NOTHING;

-- name: all
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments ORDER BY instrument_id;

-- name: by_keys
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments WHERE key = ANY ($1::text[]);

-- name: by_numbers
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments WHERE instrument_id = ANY ($1::integer[]) ORDER BY instrument_id;

-- name: list
-- $1 kind, $2 exchange, $3 segment, $4 underlying: NULL is any. $5 date on which a contract must not be over, or NULL.
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR exchange = $2) AND ($3::text IS NULL OR segment = $3)
  AND ($4::text IS NULL OR underlying = $4) AND ($5::date IS NULL OR expiry IS NULL OR expiry >= $5)
  AND key > $6
ORDER BY key LIMIT $7;

-- name: count
SELECT count(*)
FROM instruments
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR exchange = $2) AND ($3::text IS NULL OR segment = $3)
  AND ($4::text IS NULL OR underlying = $4) AND ($5::date IS NULL OR expiry IS NULL OR expiry >= $5);

-- name: search
-- $1 pattern of the longest word (the trigram index finds it), $2 patterns of all words, $3 the whole query,
-- $4 kind or NULL, $5 date as above. Exact symbol first, then symbols that begin with the query, then the rest.
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments
WHERE search_text LIKE $1 AND search_text LIKE ALL ($2::text[])
  AND ($4::text IS NULL OR kind = $4) AND ($5::date IS NULL OR expiry IS NULL OR expiry >= $5)
ORDER BY tradingsymbol <> $3, NOT starts_with(tradingsymbol, $3), expiry NULLS FIRST, strike NULLS FIRST, key
LIMIT $6 OFFSET $7;

-- name: search_prefix
-- For queries too short for trigrams: $1 pattern of the beginning of the symbol.
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments
WHERE tradingsymbol LIKE $1 AND ($2::text IS NULL OR kind = $2) AND ($3::date IS NULL OR expiry IS NULL OR expiry >= $3)
ORDER BY expiry NULLS FIRST, strike NULLS FIRST, key
LIMIT $4 OFFSET $5;

-- name: contracts
-- $1 underlying, $2 kind or NULL, $3 expiry or NULL, $4 and $5 strike range or NULL, $6 date on which it must not be
-- over or NULL; from behind ($7 expiry, $8 strike, $9 key).
SELECT instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size, lot_size,
       freeze_quantity, segment, provenance
FROM instruments
WHERE underlying = $1 AND expiry IS NOT NULL
  AND ($2::text IS NULL OR kind = $2) AND ($3::date IS NULL OR expiry = $3)
  AND ($4::numeric IS NULL OR strike >= $4) AND ($5::numeric IS NULL OR strike <= $5)
  AND ($6::date IS NULL OR expiry >= $6)
  AND (expiry, coalesce(strike, -1), key) > ($7::date, $8::numeric, $9::text)
ORDER BY expiry, coalesce(strike, -1), key LIMIT $10;

-- name: count_contracts
SELECT count(*)
FROM instruments
WHERE underlying = $1 AND expiry IS NOT NULL
  AND ($2::text IS NULL OR kind = $2) AND ($3::date IS NULL OR expiry = $3)
  AND ($4::numeric IS NULL OR strike >= $4) AND ($5::numeric IS NULL OR strike <= $5)
  AND ($6::date IS NULL OR expiry >= $6);

-- name: underlyings
-- $1 date on which contracts must not be over, or NULL.
SELECT contract.underlying, array_agg(DISTINCT contract.expiry ORDER BY contract.expiry) AS expiries,
       count(*) AS contracts,
       (SELECT own.key FROM instruments own
        WHERE own.underlying = contract.underlying AND own.kind = 'INDEX' OR
              own.key = 'NSE:' || contract.underlying AND own.kind = 'EQUITY'
        ORDER BY own.kind DESC, own.key LIMIT 1) AS instrument
FROM instruments contract
WHERE contract.expiry IS NOT NULL AND ($1::date IS NULL OR contract.expiry >= $1)
GROUP BY contract.underlying ORDER BY contract.underlying;

-- name: search_underlyings
-- $1 pattern of the query without spaces, $2 the query itself, $3 the underlying that it is a name of, $4 date on which a
-- contract must not be over. What it names comes first, then what begins with it, then the rest.
WITH RECURSIVE listed AS (
    SELECT min(underlying) AS underlying FROM instruments WHERE expiry IS NOT NULL
    UNION ALL
    SELECT (SELECT min(underlying) FROM instruments WHERE expiry IS NOT NULL AND underlying > listed.underlying)
    FROM listed WHERE listed.underlying IS NOT NULL
), known AS (
    SELECT listed.underlying AS canonical,
           coalesce((SELECT instrument_id FROM instruments
                     WHERE underlying = listed.underlying AND kind = 'INDEX' ORDER BY key LIMIT 1),
                    (SELECT instrument_id FROM instruments
                     WHERE key = 'NSE:' || listed.underlying AND kind = 'EQUITY')) AS own
    FROM listed
    WHERE EXISTS (SELECT FROM instruments WHERE underlying = listed.underlying AND expiry >= $4)
), texts AS (
    SELECT known.canonical, own.*,
           ARRAY[replace(known.canonical, ' ', ''), replace(own.tradingsymbol, ' ', ''),
                 replace(upper(own.name), ' ', '')] AS texts
    FROM known LEFT JOIN instruments own ON own.instrument_id = known.own
)
SELECT canonical, instrument_id, key, exchange, tradingsymbol, token, name, kind, underlying, expiry, strike, tick_size,
       lot_size, freeze_quantity, segment, provenance
FROM texts
WHERE canonical = $3 OR EXISTS (SELECT FROM unnest(texts) AS text WHERE text LIKE '%' || $1 || '%')
ORDER BY canonical <> $3 AND NOT $2 = ANY (texts),
         NOT EXISTS (SELECT FROM unnest(texts) AS text WHERE text LIKE $1 || '%'), canonical
LIMIT $5 OFFSET $6;

-- name: stats
-- $1 date: which contracts are not over.
SELECT kind, exchange, segment, count(*) AS total,
       count(*) FILTER (WHERE expiry IS NULL OR $1::date IS NULL OR expiry >= $1) AS active
FROM instruments GROUP BY kind, exchange, segment;
