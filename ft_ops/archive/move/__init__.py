"""The first step: what is due, and a month's move out of content_segments."""
