-- The threads and how busy each is. Dropped with the session.
CREATE TEMPORARY TABLE sample_threads (
    number integer PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    family integer NOT NULL,
    book integer NOT NULL,
    weight integer NOT NULL
)
