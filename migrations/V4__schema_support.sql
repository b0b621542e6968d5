-- The oldest schema version that a program must know to work with this database. A migration that
-- takes away what older programs need raises it to its own version:
--   UPDATE schema_support SET oldest_program = N;
CREATE TABLE schema_support (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    oldest_program integer NOT NULL
);
INSERT INTO schema_support (oldest_program) VALUES (2);
-- Every program asks it, whatever its role.
GRANT SELECT ON schema_support TO PUBLIC;
