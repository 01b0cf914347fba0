-- Family Storage Usage. $1: family id.
-- One row, or none if there is no such family. Bytes: octets of texts and transcripts, 1,048,576
-- a recording, 524,288 a photo; deleted segments don't count. breakdown is a JSON array of the
-- books that hold content, the largest first, and empty when none does.
-- One index probe a segment, however many months there are; ACCESS SHARE only.
WITH family_threads AS MATERIALIZED (
    SELECT
        t.id,
        mb.id AS memory_book_id,
        mb.title
    FROM memory_books AS mb
    JOIN threads AS t ON t.memory_book_id = mb.id
    WHERE mb.family_id = $1
),

storage_details AS (
    SELECT
        ft.memory_book_id,
        ft.title,
        count(*) AS segment_count,
        sum(cs.text_bytes) AS text_bytes,
        sum(cs.transcript_bytes) AS transcript_bytes,
        sum(cs.audio_count) AS audio_count,
        sum(cs.photo_count) AS photo_count
    FROM content_sizes(ARRAY(SELECT id FROM family_threads)) AS cs
    JOIN family_threads AS ft ON ft.id = cs.thread_id
    GROUP BY ft.memory_book_id, ft.title
),

totals AS (
    SELECT
        sd.*,
        sd.text_bytes + sd.transcript_bytes + sd.audio_count * 1048576 + sd.photo_count * 524288
            AS total_bytes
    FROM storage_details AS sd
)

SELECT
    f.id,
    f.name,
    f.storage_limit_bytes,
    coalesce(sum(b.total_bytes), 0)::bigint AS total_used_bytes,
    coalesce(
        json_agg(
            json_build_object(
                'memory_book_id', b.memory_book_id,
                'title', b.title,
                'segment_count', b.segment_count,
                'text_bytes', b.text_bytes,
                'audio_count', b.audio_count,
                'photo_count', b.photo_count,
                'total_bytes', b.total_bytes
            ) ORDER BY b.total_bytes DESC, b.memory_book_id
        ) FILTER (WHERE b.memory_book_id IS NOT NULL),
        '[]'::json
    ) AS breakdown
FROM families AS f
LEFT JOIN totals AS b ON true
WHERE f.id = $1
GROUP BY f.id, f.name, f.storage_limit_bytes;
