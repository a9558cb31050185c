"""Repositories over PostgreSQL (asyncpg) and Redis: the only place with SQL and with the names of tables and keys."""
