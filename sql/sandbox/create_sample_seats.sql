-- Who sits in a family: eight seats each. Dropped with the session.
CREATE TEMPORARY TABLE sample_seats (
    family integer NOT NULL,
    seat integer NOT NULL,
    user_number integer NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (family, seat)
)
