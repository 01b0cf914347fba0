"""A subject's rows, in the copy and in the live database: where they are, and how they are read."""
