"""Brokers and other sources outside of the system, each behind a port. They know the domain only."""
