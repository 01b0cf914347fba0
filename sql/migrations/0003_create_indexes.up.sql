-- The specification's indexes by name, less those that repeat a unique constraint's, plus the
-- foreign key columns that had none.
CREATE INDEX idx_users_subscription ON users (subscription_tier, subscription_expires_at);
CREATE INDEX idx_users_created_at ON users (created_at);

CREATE INDEX idx_families_owner ON families (owner_id);
CREATE INDEX idx_families_active ON families (is_active);
CREATE INDEX idx_families_created_at ON families (created_at);

CREATE INDEX idx_family_members_user ON family_members (user_id);
CREATE INDEX idx_family_members_role ON family_members (role);
CREATE INDEX idx_family_members_invited_by ON family_members (invited_by);

CREATE INDEX idx_memory_books_family ON memory_books (family_id);
CREATE INDEX idx_memory_books_creator ON memory_books (created_by);
CREATE INDEX idx_memory_books_activity ON memory_books (last_activity_at DESC);
CREATE INDEX idx_memory_books_privacy ON memory_books (privacy);

CREATE INDEX idx_threads_memory_book ON threads (memory_book_id);
CREATE INDEX idx_threads_starter ON threads (started_by);
CREATE INDEX idx_threads_activity ON threads (last_segment_at DESC);
CREATE INDEX idx_threads_created_at ON threads (created_at);

CREATE INDEX idx_content_segments_thread ON content_segments (thread_id);
CREATE INDEX idx_content_segments_user ON content_segments (user_id);
CREATE INDEX idx_content_segments_type ON content_segments (content_type);
CREATE INDEX idx_content_segments_created ON content_segments (created_at);

-- The same four, so that ATTACH adopts a month's indexes instead of building them.
CREATE INDEX idx_archived_content_segments_thread ON archived_content_segments (thread_id);
CREATE INDEX idx_archived_content_segments_user ON archived_content_segments (user_id);
CREATE INDEX idx_archived_content_segments_type ON archived_content_segments (content_type);
CREATE INDEX idx_archived_content_segments_created ON archived_content_segments (created_at);

-- A purge deletes the keys of one month.
CREATE INDEX idx_content_segment_keys_created ON content_segment_keys (created_at);

CREATE INDEX idx_photo_narrations_type ON photo_narrations (narration_type);
CREATE INDEX idx_photo_narrations_created_by ON photo_narrations (created_by);

CREATE INDEX idx_content_links_target ON content_links (target_segment_id);
CREATE INDEX idx_content_links_type ON content_links (link_type);
CREATE INDEX idx_content_links_created_by ON content_links (created_by);

CREATE INDEX idx_content_tags_name ON content_tags (tag_name);
CREATE INDEX idx_content_tags_user ON content_tags (tagged_by);

CREATE INDEX idx_family_invites_family ON family_invites (family_id);
CREATE INDEX idx_family_invites_email ON family_invites (email);
CREATE INDEX idx_family_invites_expires ON family_invites (expires_at);
CREATE INDEX idx_family_invites_invited_by ON family_invites (invited_by);
CREATE INDEX idx_family_invites_accepted_by ON family_invites (accepted_by);

CREATE INDEX idx_audit_log_user ON audit_log (user_id);
CREATE INDEX idx_audit_log_action ON audit_log (action);
CREATE INDEX idx_audit_log_created ON audit_log (created_at);
