-- A worker that commits a job of the period holds the shared form of this lock until it has
-- committed, and looks the period up after it got it.
SELECT pg_advisory_xact_lock(hashtextextended('period:' || $1::text, 0))
