SELECT trim_scale(coalesce(sum(movement::numeric), 0))::text AS sum FROM unnest($1::text[]) AS movement
