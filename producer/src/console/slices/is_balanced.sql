-- Whether a sum is zero within a tolerance, both of any length.
SELECT abs($1::text::numeric) <= $2::text::numeric AS is_balanced
