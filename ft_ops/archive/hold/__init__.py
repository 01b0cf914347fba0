"""Legal holds: placing and releasing one, what it holds, and what it says of itself."""
