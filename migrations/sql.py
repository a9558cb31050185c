"""Runs the SQL text of a revision exactly as written: no parameters, several statements, PostgreSQL's own parser."""

from alembic import op


def run(text: str) -> None:
    """Executes the statements in the migration's transaction."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(text.encode())


def is_community() -> bool:
    """Whether TimescaleDB is its Community edition, which has continuous aggregates."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('timescaledb.license', true)")
        row = cursor.fetchone()
    return row is not None and row[0] == "timescale"
