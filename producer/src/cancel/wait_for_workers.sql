-- A worker that commits a job of the batch holds the shared form of this lock until it has
-- committed, and looks the batch up after it got it.
SELECT pg_advisory_xact_lock(hashtextextended('batch:' || $1::text, 0))
