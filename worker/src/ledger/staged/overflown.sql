SELECT min(source_line), count(*) FROM aura_staging WHERE {overflown}
