DROP TRIGGER record_erasure ON threads;
DROP TRIGGER record_erasure ON families;
DROP TRIGGER record_erasure ON users;
DROP SCHEMA ops CASCADE;
