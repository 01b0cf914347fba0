DROP TRIGGER refuse_unread_end ON ops.thaws;
DROP TRIGGER refuse_unread_end ON ops.archive;
DROP FUNCTION ops.refuse_unread_end();
