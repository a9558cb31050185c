-- Which expiries were listed when.

-- name: of_underlying
-- What was there on the first day of the record was listed before: nobody saw it come. One of its contracts is named.
SELECT listing.exchange, listing.expiry, listing.listed_until,
       CASE WHEN listing.listed_since > min(listing.listed_since) OVER (PARTITION BY listing.exchange)
            THEN listing.listed_since END AS listed_since,
       (SELECT contract.tradingsymbol FROM instruments contract
        WHERE contract.underlying = $1 AND contract.expiry = listing.expiry AND contract.exchange = listing.exchange
          AND (contract.kind = 'FUTURE') = (listing.kind = 'FUTURE') LIMIT 1) AS tradingsymbol
FROM expiry_listings listing
WHERE listing.underlying = $1 AND listing.kind = $2 ORDER BY listing.expiry, listing.exchange;

-- name: see
-- $2 to $5 are parallel arrays, one element an expiry.
INSERT INTO expiry_sightings AS known (underlying, kind, exchange, expiry, first_seen, last_seen)
SELECT underlying, kind, exchange, expiry, $1::date, $1::date
FROM unnest($2::text[], $3::text[], $4::text[], $5::date[]) AS seen (underlying, kind, exchange, expiry)
ORDER BY underlying, kind, exchange, expiry
ON CONFLICT ON CONSTRAINT expiry_sightings_pkey DO UPDATE
SET first_seen = least(known.first_seen, $1::date), last_seen = greatest(known.last_seen, $1::date)
WHERE $1::date NOT BETWEEN known.first_seen AND known.last_seen;

-- name: complete
-- $2 to $4 are parallel arrays, one element a series of contracts.
INSERT INTO complete_listings (underlying, kind, exchange, day)
SELECT underlying, kind, exchange, $1::date
FROM unnest($2::text[], $3::text[], $4::text[]) AS series (underlying, kind, exchange)
ORDER BY underlying, kind, exchange
ON CONFLICT DO NOTHING;
