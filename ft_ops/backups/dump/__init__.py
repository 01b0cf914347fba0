"""The monthly logical dump, in a Glacier class."""
