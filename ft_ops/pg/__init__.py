"""Plumbing to PostgreSQL: connections, time-outs, catalog, SQL files. No Dagster, no rooms."""
