"""Taking a backup: a full, and the increments between fulls."""
