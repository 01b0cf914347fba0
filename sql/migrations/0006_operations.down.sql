DROP TRIGGER refuse_held ON threads;
DROP TRIGGER refuse_held ON memory_books;
DROP TRIGGER refuse_held ON families;
DROP TRIGGER refuse_held ON users;
DROP TRIGGER record_erasure ON archived_content_segments;
DROP TRIGGER record_erasure ON threads;
DROP TRIGGER record_erasure ON families;
DROP TRIGGER record_erasure ON users;
DROP SCHEMA ops CASCADE;
