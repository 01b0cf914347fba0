"""Erasure inside archives: which months hold erased content, and their rewriting."""
