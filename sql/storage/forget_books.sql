-- Sums of books that have no content left.
DELETE FROM ops.storage_books WHERE segments = 0;
