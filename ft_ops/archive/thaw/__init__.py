"""The way back: asking Glacier, loading what is readable, and removing it again."""
