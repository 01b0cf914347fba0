-- Where corrections of sums wait to be written. Dropped with the transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS storage_corrections (
    owner_id uuid NOT NULL,
    segments bigint NOT NULL,
    bytes bigint NOT NULL
) ON COMMIT DROP;
