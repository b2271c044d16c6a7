-- name: lock_table_name
-- Wait until no other transaction registers a table of this level and name.
SELECT pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 1));

-- name: find_table
-- The current table of a level and name.
SELECT
    q_table_id,
    fingerprint,
    state_count,
    action_names,
    epoch,
    version,
    source_version
FROM q_tables
WHERE level = $1 AND name = $2 AND is_current;

-- name: retire_table
-- Make a table no longer current; writers that still hold it are refused by its epoch.
UPDATE q_tables SET is_current = false, epoch = epoch + 1, updated_at = now()
WHERE q_table_id = $1;

-- name: create_table
-- Register a table as the current one of its level and name.
INSERT INTO q_tables (level, name, fingerprint, state_count, action_names)
VALUES ($1, $2, $3, $4, $5)
RETURNING q_table_id, epoch, version;

-- name: lock_table
-- Hold a table against every other writer until the end of the transaction.
SELECT
    epoch,
    version,
    is_current,
    state_count
FROM q_tables
WHERE q_table_id = $1 FOR UPDATE;

-- name: raise_table_epoch
-- Refuse from now on all writers that hold an older epoch.
UPDATE q_tables SET epoch = epoch + 1, updated_at = now()
WHERE q_table_id = $1 AND is_current
RETURNING epoch, version;

-- name: read_rows
-- All rows of a table in state order, fixed width.
SELECT
    state,
    q,
    visits,
    target_mean,
    target_m2,
    weights
FROM q_values
WHERE q_table_id = $1
ORDER BY state;

-- name: create_incoming_rows
-- A place in this session for rows on their way into a table.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_rows (
    state bigint NOT NULL,
    q float8[] NOT NULL,
    visits bigint[] NOT NULL,
    target_mean float8[] NOT NULL,
    target_m2 float8[] NOT NULL,
    weights float8[] NOT NULL
) ON COMMIT DELETE ROWS;

-- name: write_changed_rows
-- Insert or update, in state order, those incoming rows that differ from what is stored.
INSERT INTO q_values AS stored (q_table_id, state, q, visits, target_mean, target_m2, weights)
SELECT
    $1 AS q_table_id,
    state,
    q,
    visits,
    target_mean,
    target_m2,
    weights
FROM incoming_rows
ORDER BY state
ON CONFLICT (q_table_id, state) DO UPDATE SET
    q = excluded.q,
    visits = excluded.visits,
    target_mean = excluded.target_mean,
    target_m2 = excluded.target_m2,
    weights = excluded.weights,
    version = stored.version + 1,
    updated_at = now()
WHERE (stored.q, stored.visits, stored.target_mean, stored.target_m2, stored.weights)
IS DISTINCT FROM (excluded.q, excluded.visits, excluded.target_mean, excluded.target_m2, excluded.weights);

-- name: remove_absent_rows
-- Remove the rows of a table whose states are not among the incoming ones.
DELETE FROM q_values AS stored
WHERE
    stored.q_table_id = $1
    AND NOT EXISTS (
        SELECT FROM incoming_rows
        WHERE incoming_rows.state = stored.state
    );

-- name: record_publication
-- Record that a table's rows were replaced, and what they were built from.
UPDATE q_tables SET
    version = version + 1,
    updated_at = now(),
    source_version = $2::jsonb,
    publications = publications + 1,
    publication_conflicts = publication_conflicts + $3
WHERE q_table_id = $1
RETURNING version;

-- name: list_tables
-- One line for each current table.
SELECT
    tables.level,
    tables.name,
    tables.fingerprint,
    tables.version,
    tables.updated_at,
    tables.publications,
    tables.publication_conflicts,
    count(rows.state) AS states,
    coalesce(sum(totals.visits), 0)::bigint AS updates
FROM q_tables AS tables
LEFT JOIN q_values AS rows ON tables.q_table_id = rows.q_table_id
LEFT JOIN LATERAL (SELECT sum(visit) AS visits FROM unnest(rows.visits) AS visit) AS totals ON true
WHERE tables.is_current
GROUP BY tables.q_table_id
ORDER BY array_position(ARRAY['individual', 'category', 'fleet'], tables.level), tables.name COLLATE "C";
