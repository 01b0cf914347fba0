-- name: create_login_role
-- Makes a role that may log in and nothing else. Locks nothing that others see.
CREATE ROLE {name} LOGIN

-- name: create_database
-- Makes an empty database with production's encoding, and the locale that the server was made with.
-- Copies template0, which nobody has changed; waits for nobody; some 50 ms.
CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'
