"""Which expiries were listed when, so that an expiry can be called today as it was called on any earlier day.

The instrument master knows what exists; sightings say on which days it was seen, complete listings on which days it
would have been seen. All are facts about days, so that they may be learnt in any order and more than once.
"""

from migrations.sql import run

revision = "0008"
down_revision = "0007"

UP = """
CREATE TABLE expiry_sightings (
    underlying text NOT NULL,
    kind       text NOT NULL,
    exchange   text NOT NULL,
    expiry     date NOT NULL,
    first_seen date NOT NULL,
    last_seen  date NOT NULL,
    CONSTRAINT expiry_sightings_pkey PRIMARY KEY (underlying, kind, exchange, expiry),
    CONSTRAINT expiry_sightings_kind_check CHECK (kind IN ('FUTURE', 'OPTION')),
    CONSTRAINT expiry_sightings_last_seen_check CHECK (last_seen >= first_seen)
);
COMMENT ON TABLE expiry_sightings IS 'First and last day on which a source named contracts of an expiry.';

CREATE TABLE complete_listings (
    underlying text NOT NULL,
    kind       text NOT NULL,
    exchange   text NOT NULL,
    day        date NOT NULL,
    CONSTRAINT complete_listings_pkey PRIMARY KEY (underlying, kind, exchange, day),
    CONSTRAINT complete_listings_kind_check CHECK (kind IN ('FUTURE', 'OPTION'))
);
COMMENT ON TABLE complete_listings IS 'Days on which a source named all contracts: what it lacked was not listed.';

GRANT SELECT, INSERT, UPDATE ON expiry_sightings TO strikeline_api, strikeline_worker;
GRANT SELECT, INSERT ON complete_listings TO strikeline_api, strikeline_worker;

-- listed_since is NULL where nobody saw it come, listed_until where nobody saw it go before its day.
CREATE VIEW expiry_listings WITH (security_invoker = true) AS
SELECT known.underlying, known.kind, known.exchange, known.expiry, seen.first_seen AS listed_since,
       (SELECT min(complete.day) - 1 FROM complete_listings AS complete
        WHERE complete.underlying = known.underlying AND complete.kind = known.kind
          AND complete.exchange = known.exchange AND complete.day <= known.expiry
          AND complete.day > coalesce(seen.last_seen, '-infinity')) AS listed_until
FROM (SELECT DISTINCT underlying, CASE kind WHEN 'FUTURE' THEN kind ELSE 'OPTION' END AS kind, exchange, expiry
      FROM instruments WHERE expiry IS NOT NULL) AS known
LEFT JOIN expiry_sightings AS seen USING (underlying, kind, exchange, expiry);
GRANT SELECT ON expiry_listings TO strikeline_api, strikeline_worker;
"""

DOWN = """
DROP VIEW expiry_listings;
DROP TABLE complete_listings;
DROP TABLE expiry_sightings;
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)
