-- name: create_login_role
-- Makes a role that may log in and nothing else. Locks nothing that others see.
CREATE ROLE {name} LOGIN

-- name: create_database
-- Makes an empty database with the encoding and collation that production has. Copies template0,
-- the only template that may change them; waits for nobody; some 50 ms.
CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'
