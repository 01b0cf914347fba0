"""Versioned, write-once objects in S3. No Dagster, no rooms."""
