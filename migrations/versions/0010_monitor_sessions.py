"""Which instruments somebody watches on a screen: sessions that end by themselves when nobody watches any more."""

from migrations.sql import run

revision = "0010"
down_revision = "0009"

# The api's identity is app.user_id, as for every tenant table. A server renews the sessions of all its open streams at
# once, whosever they are: the function does that and nothing else, for names that only their owners were ever told.
UP = """
CREATE TABLE monitor_sessions (
    monitor_session text CONSTRAINT monitor_sessions_pkey PRIMARY KEY,
    user_id         text NOT NULL,
    revision        integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    CONSTRAINT monitor_sessions_user_id_check CHECK (length(user_id) BETWEEN 1 AND 255),
    CONSTRAINT monitor_sessions_revision_check CHECK (revision > 0)
);
COMMENT ON COLUMN monitor_sessions.revision IS 'Grows with each change of the instruments.';
CREATE INDEX monitor_sessions_user_id_idx ON monitor_sessions (user_id, created_at, monitor_session);
CREATE INDEX monitor_sessions_expires_at_idx ON monitor_sessions (expires_at);
CREATE TABLE monitor_session_instruments (
    monitor_session text NOT NULL CONSTRAINT monitor_session_instruments_monitor_session_fkey
                    REFERENCES monitor_sessions ON DELETE CASCADE,
    position        integer NOT NULL,
    instrument_id   integer NOT NULL CONSTRAINT monitor_session_instruments_instrument_id_fkey REFERENCES instruments,
    CONSTRAINT monitor_session_instruments_pkey PRIMARY KEY (monitor_session, instrument_id)
);
CREATE INDEX monitor_session_instruments_instrument_id_idx ON monitor_session_instruments (instrument_id);

ALTER TABLE monitor_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE monitor_session_instruments ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON monitor_sessions TO strikeline_api
    USING (user_id = current_setting('app.user_id', true));
CREATE POLICY own_rows ON monitor_session_instruments TO strikeline_api
    USING (monitor_session IN (SELECT s.monitor_session FROM monitor_sessions s));
CREATE POLICY all_rows ON monitor_sessions TO strikeline_worker USING (true);
CREATE POLICY all_rows ON monitor_session_instruments TO strikeline_worker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON monitor_sessions, monitor_session_instruments TO strikeline_api;
GRANT SELECT, DELETE ON monitor_sessions TO strikeline_worker;
GRANT SELECT ON monitor_session_instruments TO strikeline_worker;

-- An underlying's own instrument, for every underlying that is searched.
CREATE INDEX instruments_index_idx ON instruments (underlying) WHERE kind = 'INDEX';

-- Lets sessions live until then, those that would end before `due`. -> the revisions of all that exist.
CREATE FUNCTION renew_monitor_sessions(sessions text[], lives_until timestamptz, due timestamptz)
RETURNS TABLE (monitor_session text, revision integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    UPDATE public.monitor_sessions SET expires_at = lives_until
    WHERE monitor_sessions.monitor_session IN (
        SELECT ending.monitor_session FROM public.monitor_sessions AS ending
        WHERE ending.monitor_session = ANY (sessions) AND ending.expires_at < due FOR UPDATE SKIP LOCKED);
    SELECT known.monitor_session, known.revision FROM public.monitor_sessions AS known
    WHERE known.monitor_session = ANY (sessions);
$function$;
REVOKE ALL ON FUNCTION renew_monitor_sessions(text[], timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION renew_monitor_sessions(text[], timestamptz, timestamptz) TO strikeline_api;
"""

DOWN = """
DROP FUNCTION renew_monitor_sessions(text[], timestamptz, timestamptz);
DROP INDEX instruments_index_idx;
DROP TABLE monitor_session_instruments, monitor_sessions;
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)
