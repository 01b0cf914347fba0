-- Where rows that a count found different wait to be written. Dropped with the transaction.
CREATE TEMPORARY TABLE storage_differences (
    month date NOT NULL,
    memory_book_id uuid NOT NULL,
    user_id uuid NOT NULL,
    segments bigint,
    text_bytes bigint,
    transcript_bytes bigint,
    recordings bigint,
    photos bigint,
    recording_bytes bigint,
    photo_bytes bigint,
    unsized bigint,
    bytes bigint,
    old_segments bigint,
    old_bytes bigint
) ON COMMIT DROP;
