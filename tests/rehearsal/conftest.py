"""Copies to rehearse on."""

from tests.fixtures.copies import copy, original

__all__ = ["copy", "original"]
