-- Makes a role that may log in and nothing else. Locks nothing that others see.
CREATE ROLE {name} LOGIN
