-- Whether anything has been seen of an entity.
SELECT EXISTS (SELECT FROM ingestion_runs WHERE entity = $1) OR EXISTS (SELECT FROM slices WHERE entity = $1) AS known
