"""How the archive outlives its database: records in the bucket, adoption from it, daily looks."""
