DROP VIEW memory_book_stats, active_family_members;
