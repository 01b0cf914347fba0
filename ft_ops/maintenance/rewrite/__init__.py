"""Tables that are written anew: which are worth it, and how pg_repack does it."""
