SELECT chain.entity, chain.period, chain.seq, chain.hash
FROM unnest($1::text[], $2::text[]) AS given (entity, period)
JOIN audit_chains AS chain ON chain.entity = given.entity AND chain.period = given.period
