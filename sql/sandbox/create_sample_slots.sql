-- The order in which threads receive segments: round after round over the same slots.
-- Dropped with the session.
CREATE TEMPORARY TABLE sample_slots (
    slot bigint PRIMARY KEY,
    thread_id uuid NOT NULL,
    family integer NOT NULL,
    weight integer NOT NULL,
    turn integer NOT NULL
)
