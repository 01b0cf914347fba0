"""Bloat of indexes, and their rebuilds."""
