-- Makes an empty database with the encoding and collation that production has. Copies template0,
-- the only template that may change them; waits for nobody; some 50 ms.
CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'
