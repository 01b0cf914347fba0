"""Dagster's own upkeep: runs whose process is gone are ended, and old events are removed."""
