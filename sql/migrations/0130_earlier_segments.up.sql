-- Segments that a recovered database has as they were at its moment, while the archive has them as they
-- became later. A thaw of the month brings the rows that belong to them and that the archive alone has;
-- until then the month is not exported again, because a newer export would stand for all of the segment.
CREATE TABLE ops.earlier_segments (
    segment_id uuid PRIMARY KEY,
    month date NOT NULL,
    -- What belonged to it when that was noticed, each row by its table and key. What of this is missing
    -- later was deleted later, and does not come back.
    had text [] NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_earlier_segments_month ON ops.earlier_segments (month);
GRANT SELECT ON ops.earlier_segments TO ft_readonly;
