"""Makes the second copy of an object, reads it if the first is gone, removes it with the first."""
