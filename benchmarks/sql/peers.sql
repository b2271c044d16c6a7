-- name: checkpoint
-- Write out everything that is pending.
CHECKPOINT; -- noqa: PRS

-- name: count_deadlocks
-- How many deadlocks this database has met.
SELECT deadlocks FROM pg_stat_database
WHERE datname = current_database();

-- name: count_pgbench_history
-- How many transactions pgbench committed.
SELECT count(*) FROM pgbench_history;

-- name: is_pgbench_balanced
-- Whether the accounts hold exactly what the history says.
SELECT
    (SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts)
    = (SELECT coalesce(sum(delta), 0) FROM pgbench_history);

-- name: read_learned_pairs
-- Every pair of the individual tables that was updated: agent, state, action, visits, value.
SELECT
    name,
    state,
    action_index,
    visits,
    q
FROM q_values_long
WHERE level = 'individual' AND visits > 0
ORDER BY name, state, action_index;

-- name: count_experiences
-- How many experiences the log holds.
SELECT coalesce(sum(experiences), 0) FROM experience_chunks;

-- name: create_pair_values
-- The naive table: one row for each state and action, with a version.
CREATE TABLE pair_values (
    state bigint NOT NULL,
    action smallint NOT NULL,
    q float8 NOT NULL DEFAULT 0,
    visits bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (state, action)
) WITH (fillfactor = 70);

-- name: fill_pair_values
-- Every pair there is: the naive writer never has to insert.
INSERT INTO pair_values (state, action)
SELECT
    state,
    action
FROM generate_series(0, $1::bigint - 1) AS state
CROSS JOIN generate_series(0, $2::int - 1) AS action;

-- name: read_pair
-- One pair with its version.
SELECT
    q,
    visits,
    version
FROM pair_values
WHERE state = $1 AND action = $2;

-- name: write_pair
-- One pair, unless somebody else was quicker.
UPDATE pair_values SET q = $3, visits = $4, version = version + 1
WHERE state = $1 AND action = $2 AND version = $5;

-- name: read_pair_values
-- Every pair that was updated: state, action, visits, value.
SELECT
    state,
    action,
    visits,
    q
FROM pair_values
WHERE visits > 0
ORDER BY state, action;

-- name: select_one
-- The least a server can be asked.
SELECT 1;

-- name: create_row_log
-- A plain table with the columns of the log, one row for each experience, no index.
CREATE TABLE row_log (
    occurred_at timestamptz NOT NULL,
    agent text COLLATE "C" NOT NULL,
    episode text COLLATE "C" NOT NULL,
    step int NOT NULL,
    state bigint NOT NULL,
    action smallint NOT NULL,
    reward float8 NOT NULL,
    next_state bigint NOT NULL,
    terminated bool NOT NULL,
    truncated bool NOT NULL,
    propensity float8 NOT NULL,
    exploration_rate float8,
    success bool,
    policy_version bigint,
    fingerprint text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL
);

-- name: create_indexed_row_log
-- The same with the index that makes appending idempotent.
CREATE TABLE indexed_row_log (LIKE row_log);

-- name: create_row_log_index
-- What recognises an experience that is there already.
CREATE UNIQUE INDEX indexed_row_log_canonical
ON indexed_row_log (agent, occurred_at, source, episode, step);

-- name: read_row_log
-- The six columns of one agent's transitions, in the order in which they were written.
SELECT
    state,
    action,
    reward,
    next_state,
    terminated,
    truncated
FROM row_log
WHERE agent = $1 AND fingerprint = $2;

-- name: create_staging_log
-- The same for what is on its way into the others.
CREATE TABLE staging_log (LIKE row_log);

-- name: empty_staging
-- Forget what was on its way.
TRUNCATE staging_log;

-- name: empty_row_log
-- Begin again.
TRUNCATE row_log;

-- name: empty_indexed_row_log
-- Begin again.
TRUNCATE indexed_row_log;

-- name: vacuum_row_log
-- Leave nothing to tidy up for the first reader.
VACUUM (ANALYZE) row_log;

-- name: digest_log
-- How many experiences an agent has in the log, and a digest of all their values.
SELECT
    count(*) AS experiences,
    sum(hashtextextended(CAST(single AS text), 0)) AS digest
FROM (
    SELECT
        occurred_at,
        agent,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        terminated,
        truncated,
        propensity,
        exploration_rate,
        success,
        policy_version,
        fingerprint,
        source
    FROM learning_experiences
    WHERE agent = $1
) AS single;

-- name: digest_row_log
-- The same of row_log.
SELECT
    count(*) AS experiences,
    sum(hashtextextended(CAST(single AS text), 0)) AS digest
FROM (
    SELECT
        occurred_at,
        agent,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        terminated,
        truncated,
        propensity,
        exploration_rate,
        success,
        policy_version,
        fingerprint,
        source
    FROM row_log
) AS single;

-- name: digest_indexed_row_log
-- The same of indexed_row_log.
SELECT
    count(*) AS experiences,
    sum(hashtextextended(CAST(single AS text), 0)) AS digest
FROM (
    SELECT
        occurred_at,
        agent,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        terminated,
        truncated,
        propensity,
        exploration_rate,
        success,
        policy_version,
        fingerprint,
        source
    FROM indexed_row_log
) AS single;

-- name: digest_staging_log
-- The same of staging_log.
SELECT
    count(*) AS experiences,
    sum(hashtextextended(CAST(single AS text), 0)) AS digest
FROM (
    SELECT
        occurred_at,
        agent,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        terminated,
        truncated,
        propensity,
        exploration_rate,
        success,
        policy_version,
        fingerprint,
        source
    FROM staging_log
) AS single;

-- name: insert_into_inbox
-- A flush without experiences, its arrays as parameters.
INSERT INTO flush_inbox (
    flush_id, q_table_id, epoch, action_count, updated_state, scale, q_offset, visits, target_mean, target_m2,
    experiences
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0);

-- name: create_incoming_updates
-- A place in this session for composed updates on their way into a table.
CREATE TEMPORARY TABLE incoming_updates (
    state bigint, scale float8 [], q_offset float8 [], visits bigint [], target_mean float8 [], target_m2 float8 []
) ON COMMIT DELETE ROWS;

-- name: create_incoming_rows_of_peer
-- A place in this session for computed rows on their way into a table.
CREATE TEMPORARY TABLE incoming_peer_rows (
    state bigint, q float8 [], visits bigint [], target_mean float8 [], target_m2 float8 []
) ON COMMIT DELETE ROWS;

-- name: raise_version
-- Lock a table against other writers, as every form does first.
UPDATE q_tables SET version = version + 1, updated_at = now()
WHERE q_table_id = $1;

-- name: merge_incoming_updates
-- Merge composed updates in key order, the factors travelling in the scratch column.
INSERT INTO q_values AS stored (q_table_id, state, q, visits, target_mean, target_m2, weights, scale)
SELECT
    $1,
    state,
    q_offset,
    visits,
    target_mean,
    target_m2,
    array_fill(0::float8, ARRAY[cardinality(visits)]),
    scale
FROM incoming_updates
ORDER BY state
ON CONFLICT (q_table_id, state) DO UPDATE SET
    (q, visits, target_mean, target_m2) = (
        SELECT
            array_agg(pair.scale * pair.q + pair.q_offset),
            array_agg(pair.visits + pair.added),
            array_agg(pair.mean + (pair.new_mean - pair.mean) * pair.added / greatest(pair.visits + pair.added, 1)),
            array_agg(
                pair.m2 + pair.new_m2 + (pair.new_mean - pair.mean) * (pair.new_mean - pair.mean)
                * pair.visits * pair.added / greatest(pair.visits + pair.added, 1)
            )
        FROM (
            SELECT
                unnest(stored.q) AS q,
                unnest(excluded.scale) AS scale,
                unnest(excluded.q) AS q_offset,
                unnest(stored.visits) AS visits,
                unnest(excluded.visits) AS added,
                unnest(stored.target_mean) AS mean,
                unnest(excluded.target_mean) AS new_mean,
                unnest(stored.target_m2) AS m2,
                unnest(excluded.target_m2) AS new_m2
        ) AS pair
    ),
    scale = null,
    version = stored.version + 1,
    updated_at = now();

-- name: lock_rows
-- Some rows of a table, locked in key order.
SELECT
    state,
    q,
    visits,
    target_mean,
    target_m2
FROM q_values
WHERE q_table_id = $1 AND state = any($2::bigint[])
ORDER BY state FOR UPDATE;

-- name: write_peer_rows
-- Insert or update computed rows in key order.
INSERT INTO q_values AS stored (q_table_id, state, q, visits, target_mean, target_m2, weights)
SELECT
    $1,
    state,
    q,
    visits,
    target_mean,
    target_m2,
    array_fill(0::float8, ARRAY[cardinality(visits)])
FROM incoming_peer_rows
ORDER BY state
ON CONFLICT (q_table_id, state) DO UPDATE SET
    q = excluded.q,
    visits = excluded.visits,
    target_mean = excluded.target_mean,
    target_m2 = excluded.target_m2,
    version = stored.version + 1,
    updated_at = now();

-- name: count_updates
-- How many updates the individual tables hold.
SELECT coalesce(sum(visits), 0) FROM q_values_long
WHERE level = 'individual';

-- name: create_chunk_log
-- A plain table of chunks, with the log's rules and storage, without its indexes and partitions.
CREATE TABLE chunk_log (
    LIKE experience_chunks INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING GENERATED INCLUDING IDENTITY
    INCLUDING DEFAULTS
);

-- name: create_byte_log
-- A plain table of chunks whose columns are packed bytes.
CREATE TABLE byte_log (
    first_row bigint, occurred_at bytea, step bytea, state bytea, action bytea, reward bytea, next_state bytea,
    propensity bytea, terminated bytea, truncated bytea, success bytea, exploration_rate bytea, names bytea
);

-- name: store_bytes_as_they_are
-- Not compressed, like the log.
ALTER TABLE byte_log
ALTER COLUMN occurred_at SET STORAGE EXTERNAL,
ALTER COLUMN step SET STORAGE EXTERNAL,
ALTER COLUMN state SET STORAGE EXTERNAL,
ALTER COLUMN action SET STORAGE EXTERNAL,
ALTER COLUMN reward SET STORAGE EXTERNAL,
ALTER COLUMN next_state SET STORAGE EXTERNAL,
ALTER COLUMN propensity SET STORAGE EXTERNAL,
ALTER COLUMN terminated SET STORAGE EXTERNAL,
ALTER COLUMN truncated SET STORAGE EXTERNAL,
ALTER COLUMN success SET STORAGE EXTERNAL,
ALTER COLUMN exploration_rate SET STORAGE EXTERNAL;

-- name: empty_chunk_log
-- Start again.
TRUNCATE chunk_log;

-- name: empty_byte_log
-- Start again.
TRUNCATE byte_log;

-- name: empty_log
-- Start the product's log again.
TRUNCATE experience_chunks;

-- name: count_foreign_chunks
-- Chunks of the plain table that the log does not have.
SELECT count(*) FROM (
    SELECT
        experiences,
        occurred_at,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        propensity
    FROM chunk_log
    EXCEPT ALL
    SELECT
        experiences,
        occurred_at,
        episode,
        step,
        state,
        action,
        reward,
        next_state,
        propensity
    FROM experience_chunks
) AS foreign_chunks;

-- name: read_byte_states
-- The states as they were packed, one after the other.
SELECT string_agg(state, ''::bytea ORDER BY first_row) FROM byte_log;

