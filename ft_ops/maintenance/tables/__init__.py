"""Vacuum, freeze and analyze, by evidence."""
