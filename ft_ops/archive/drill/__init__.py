"""The archive's own drill: each month one archived month is retrieved, loaded beside and proven."""
