-- The pool of prose that segments draw from: two halves of a text and a caption a row.
-- Locks nothing that others see; dropped with the session.
CREATE TEMPORARY TABLE sample_passages (
    number integer PRIMARY KEY,
    opening text NOT NULL,
    closing text NOT NULL,
    caption text NOT NULL
)
