"""The second copy of an object: read where the first is gone, made, and removed with the first."""
