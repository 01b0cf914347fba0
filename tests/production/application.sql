-- What the application does beside the product queries, as the owner of a family.

-- An account, and what belongs to it.
SELECT user_id_of_clerk('somebody');
SELECT accept_family_invite(%(invite_code)s);
SELECT action FROM audit_log WHERE user_id = %(owner)s;
INSERT INTO audit_log (user_id, action)
VALUES (%(owner)s, 'segment.edit');
INSERT INTO users (id, clerk_id, email)
VALUES (%(owner)s, 'one', 'one@example.org')
ON CONFLICT DO NOTHING;
UPDATE users SET email = 'new@example.org' WHERE id = %(owner)s;
DELETE FROM users WHERE id = %(owner)s
    AND NOT EXISTS (SELECT FROM threads WHERE started_by = users.id);

-- A family and its members.
SELECT name FROM families WHERE id = %(family)s;
INSERT INTO families (name, owner_id)
VALUES ('another', %(owner)s);
UPDATE families SET name = 'renamed' WHERE id = %(family)s;
DELETE FROM families WHERE id = %(family)s;
SELECT family_name FROM active_family_members WHERE family_id = %(family)s;
INSERT INTO family_members (family_id, user_id, role)
VALUES (%(family)s, %(owner)s, 'owner')
ON CONFLICT DO NOTHING;
UPDATE family_members SET role = 'editor' WHERE user_id = %(viewer)s;
DELETE FROM family_members WHERE user_id = %(viewer)s;
SELECT email FROM family_invites WHERE family_id = %(family)s;
INSERT INTO family_invites (family_id, email, role, invited_by, invite_code, expires_at)
VALUES (%(family)s, 'g@example.org', 'editor', %(owner)s, 'code', now() + interval '1 day');
UPDATE family_invites SET expires_at = now() WHERE family_id = %(family)s;
DELETE FROM family_invites WHERE family_id = %(family)s;

-- Its books and their content.
SELECT thread_count FROM memory_book_stats WHERE family_id = %(family)s;
INSERT INTO memory_books (family_id, title, created_by)
VALUES (%(family)s, 'second', %(owner)s);
UPDATE memory_books SET title = 'renamed' WHERE id = %(book)s;
DELETE FROM memory_books WHERE id = %(book)s;
INSERT INTO threads (memory_book_id, started_by)
VALUES (%(book)s, %(owner)s);
UPDATE threads SET title = 'renamed' WHERE id = %(thread)s;
DELETE FROM threads WHERE id = %(thread)s;
INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number)
VALUES (%(thread)s, %(owner)s, 'text', 9);
UPDATE content_segments SET is_deleted = true WHERE id = %(segment)s;
DELETE FROM content_segments WHERE id = %(segment)s;
SELECT text_content FROM archived_content_segments WHERE thread_id = %(thread)s;
UPDATE archived_content_segments SET is_deleted = true WHERE id = %(archived)s;
DELETE FROM archived_content_segments WHERE id = %(archived)s;
INSERT INTO photo_narrations (content_segment_id, photo_index, narration_text, created_by)
VALUES (%(segment)s, 7, 'told', %(owner)s);
UPDATE photo_narrations SET narration_text = 'told' WHERE content_segment_id = %(segment)s;
DELETE FROM photo_narrations WHERE content_segment_id = %(segment)s;
SELECT link_type FROM content_links WHERE source_segment_id = %(segment)s;
INSERT INTO content_links (source_segment_id, target_segment_id, link_type, created_by)
VALUES (%(archived)s, %(segment)s, 'reply', %(owner)s);
UPDATE content_links SET link_type = 'reference' WHERE source_segment_id = %(segment)s;
DELETE FROM content_links WHERE source_segment_id = %(segment)s;
INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)
VALUES (%(segment)s, 'second', %(owner)s);
UPDATE content_tags SET tag_name = 'renamed' WHERE content_segment_id = %(segment)s;
DELETE FROM content_tags WHERE content_segment_id = %(segment)s;
