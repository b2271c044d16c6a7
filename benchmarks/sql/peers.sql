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
