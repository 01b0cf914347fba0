-- A table of its own in the shape that the archive's parent adopts. SHARE ROW EXCLUSIVE on threads
-- and users for an instant, because of the foreign keys: only under a short lock_timeout.
CREATE TABLE {archived} (
    LIKE {parent} INCLUDING ALL,
    FOREIGN KEY (thread_id) REFERENCES threads (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id)
);
