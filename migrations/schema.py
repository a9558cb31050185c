"""Describes the schema of a database as text, one line a fact, sorted: the committed `schema.txt` and a database that
was migrated must agree. Renew the file after a new revision:

    python -m migrations.schema URL > migrations/schema.txt
"""

import re
import sys
from pathlib import Path

import psycopg

from server.store.migrate import FOLDER

COMMITTED: Path = FOLDER / "schema.txt"

FACTS = {
    "column": """
        SELECT c.relname, format('%s. %I %s%s%s',
                   lpad((row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum))::text, 2, '0'), a.attname,
                   format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
                   CASE WHEN a.attidentity <> '' THEN ' IDENTITY'
                        WHEN a.attgenerated <> '' THEN ' GENERATED ' || pg_get_expr(d.adbin, d.adrelid)
                        WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
          AND NOT a.attisdropped
    """,
    "constraint": """
        SELECT conrelid::regclass::text, format('%s %s', conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
    """,
    "index": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "view": """
        SELECT c.relname, pg_get_viewdef(c.oid) || ' ' ||
                   coalesce(array_to_string(c.reloptions, ','), '')
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
    """,
    "row security": """
        SELECT relname, CASE WHEN relforcerowsecurity THEN 'forced' ELSE 'enabled' END FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
    """,
    "policy": """
        SELECT tablename, format('%s FOR %s TO %s USING (%s) CHECK (%s)', policyname, cmd, roles, qual, with_check)
        FROM pg_policies WHERE schemaname = 'public'
    """,
    "grant": """
        SELECT table_name, format('%s: %s', grantee, string_agg(privilege_type, ', ' ORDER BY privilege_type))
        FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND grantee LIKE 'strikeline%' GROUP BY table_name, grantee
    """,
    "trigger": """
        SELECT tgrelid::regclass::text, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT tgisinternal
    """,
    "function": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    """,
    "hypertable": """
        SELECT hypertable_name, format('by %s, %s a chunk', column_name, time_interval)
        FROM timescaledb_information.dimensions WHERE hypertable_schema = 'public'
    """,
}


def describe(url: str) -> str:
    """The text of a database's schema, without alembic's own table."""
    lines: list[str] = []
    with psycopg.connect(url, connect_timeout=10) as connection:
        for kind, sql in FACTS.items():
            rows = connection.execute(sql.encode()).fetchall()
            lines += [
                f"{name} | {kind} | {_unnumbered(' '.join(fact.split()))}"
                for name, fact in rows
                if name != "alembic_version"
            ]
    return "\n".join(sorted(lines)) + "\n"


def _unnumbered(fact: str) -> str:
    """Community edition: without the number of a hypertable, which is another each time that it is made."""
    return re.sub(r"(_materialized_hypertable_|_invalidation_trigger\(')\d+", r"\1N", fact)


if __name__ == "__main__":
    sys.stdout.write(describe(sys.argv[1]))
