"""The second step: a month's content as Parquet in S3, and later in its Glacier class."""
