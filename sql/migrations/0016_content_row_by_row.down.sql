DROP TABLE ops.column_changes;
DROP TRIGGER record_erased_row ON content_links;
DROP TRIGGER forget_erased_row ON content_links;
DROP FUNCTION ops.track_shared_rows(regclass, text[]);
DROP FUNCTION ops.forget_erased_row();
DROP FUNCTION ops.record_erased_row();
DROP TABLE ops.erased_rows;
CREATE TABLE ops.waiting_links_again (
    LIKE public.content_links INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    thawed_month date NOT NULL,
    PRIMARY KEY (id)
);
-- It had those of the day on which it was made.
ALTER TABLE ops.waiting_links_again
    DROP CONSTRAINT IF EXISTS content_links_dates,
    DROP CONSTRAINT IF EXISTS content_links_size;
INSERT INTO ops.waiting_links_again
SELECT DISTINCT ON (id) *
FROM ops.waiting_links;
DROP VIEW ops.waiting_links;
ALTER TABLE ops.waiting_links_again RENAME TO waiting_links;
ALTER INDEX ops.waiting_links_again_pkey RENAME TO waiting_links_pkey;
DROP TABLE ops.waiting_rows;
DROP TABLE ops.kept_segments;
ALTER TABLE ops.thaws DROP COLUMN content;
ALTER TABLE ops.archive
    DROP COLUMN leftovers, DROP COLUMN replaced_by, DROP COLUMN as_of, DROP COLUMN content,
    DROP COLUMN origin;
