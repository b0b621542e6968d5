INSERT INTO pruned_slices AS known (entity, period, before, runs, changes, rejected_rows, pruned_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (entity, period) DO UPDATE
SET before = greatest(known.before, excluded.before), runs = known.runs + excluded.runs,
    changes = known.changes + excluded.changes, rejected_rows = known.rejected_rows + excluded.rejected_rows,
    pruned_at = now(), pruned_by = excluded.pruned_by
