-- A thread of weight w has w slots, shuffled among all others. Segment number n takes slot
-- n mod slots and is, in its thread, number (n / slots) * w + turn: known without looking at
-- any other segment, unique, and rising with time over all months.
-- Writes only to the temporary table.
INSERT INTO sample_slots (slot, thread_id, family, weight, turn)
SELECT
    slot,
    id,
    family,
    weight,
    row_number() OVER (PARTITION BY id ORDER BY slot)
FROM (
    SELECT
        row_number() OVER (
            ORDER BY hashint8extended(t.number::bigint * 8 + copy, %(seed)s::bigint + 4), t.number,
                copy
        ) - 1 AS slot,
        t.id,
        t.family,
        t.weight
    FROM sample_threads AS t
    CROSS JOIN LATERAL generate_series(1, t.weight) AS copy
) AS shuffled
