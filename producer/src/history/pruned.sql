SELECT before, runs, changes, rejected_rows, pruned_at, pruned_by FROM pruned_slices WHERE entity = $1 AND period = $2
