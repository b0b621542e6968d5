SET client_min_messages = warning;
CREATE TEMPORARY TABLE IF NOT EXISTS aura_staging ({definitions}) ON COMMIT DELETE ROWS
