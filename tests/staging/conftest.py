"""Copies to mask."""

from tests.fixtures.copies import copy, original

__all__ = ["copy", "original"]
