-- By the server's clock, which is the one that counts. Holds no snapshot of any use and no lock.
SELECT pg_sleep(%(seconds)s);
