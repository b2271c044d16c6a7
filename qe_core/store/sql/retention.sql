-- name: lock_retention
-- Wait until no other session runs retention, and keep others waiting until unlocked or disconnected.
SELECT pg_advisory_lock(hashtextextended('retention', 4));

-- name: unlock_retention
-- Let the next session run retention.
SELECT pg_advisory_unlock(hashtextextended('retention', 4));

-- name: server_time
-- The server's clock.
SELECT now() AS present;

-- name: list_expired_chunks
-- Chunks that arrived before a moment and are older than the newest experiences kept of their agent.
WITH newest AS (
    SELECT
        agent,
        first_at,
        sum(experiences) OVER (PARTITION BY agent ORDER BY first_at DESC, chunk_id DESC) AS kept
    FROM experience_chunks
    WHERE NOT is_folded
),

kept_from AS (
    SELECT
        agent,
        max(first_at) AS moment
    FROM newest
    WHERE kept >= $2::bigint
    GROUP BY agent
)

SELECT
    chunks.agent,
    chunks.fingerprint,
    chunks.chunk_id,
    chunks.experiences
FROM experience_chunks AS chunks
INNER JOIN kept_from ON chunks.agent = kept_from.agent
WHERE chunks.arrived_at < $1 AND NOT chunks.is_folded AND chunks.last_at < kept_from.moment
ORDER BY chunks.agent, chunks.fingerprint, chunks.chunk_id;

-- name: read_expired_chunks
-- What is counted of some chunks that arrived before a moment; nothing of those a rollback excluded.
SELECT
    state,
    action,
    reward,
    next_state,
    terminated
FROM learnable_chunks
WHERE arrived_at < $1 AND agent = $2 AND chunk_id = any($3::bigint[])
ORDER BY chunk_id;

-- name: mark_folded
-- Say of some chunks that they are counted in the summaries.
UPDATE experience_chunks SET is_folded = true
WHERE arrived_at < $1 AND agent = $2 AND chunk_id = any($3::bigint[]) AND NOT is_folded;

-- name: read_summaries
-- What retention has counted of an agent under one contract, fixed width.
SELECT
    state,
    action,
    next_state,
    terminated,
    count,
    reward_mean,
    reward_m2
FROM transition_summaries
WHERE agent = $1 AND fingerprint = $2
ORDER BY state, action, next_state, terminated;

-- name: create_incoming_summaries
-- A place in this session for summaries on their way.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_summaries (
    state bigint NOT NULL,
    action smallint NOT NULL,
    next_state bigint NOT NULL,
    terminated bool NOT NULL,
    count bigint NOT NULL,
    reward_mean float8 NOT NULL,
    reward_m2 float8 NOT NULL
) ON COMMIT DELETE ROWS;

-- name: write_summaries
-- Make an agent's summaries those that came in, where they count more than before.
INSERT INTO transition_summaries AS stored (
    agent, fingerprint, state, action, next_state, terminated, count, reward_mean, reward_m2
)
SELECT
    $1 AS agent,
    $2 AS fingerprint,
    state,
    action,
    next_state,
    terminated,
    count,
    reward_mean,
    reward_m2
FROM incoming_summaries
ON CONFLICT (agent, fingerprint, state, action, next_state, terminated) DO UPDATE
    SET
        count = excluded.count,
        reward_mean = excluded.reward_mean,
        reward_m2 = excluded.reward_m2,
        updated_at = now()
    WHERE stored.count < excluded.count;

-- name: list_partitions
-- The log's partitions of days before one: name, whether attached, and whether a detachment broke off.
SELECT
    tables.relname AS name,
    parents.inhrelid IS NOT null AS is_attached,
    coalesce(parents.inhdetachpending, false) AS is_pending
FROM pg_class AS log
INNER JOIN pg_class AS tables ON log.relnamespace = tables.relnamespace
LEFT JOIN pg_inherits AS parents
    ON tables.oid = parents.inhrelid AND log.oid = parents.inhparent
WHERE
    log.oid = 'experience_chunks'::regclass
    AND tables.relkind = 'r'
    AND tables.relname ~ '^experience_chunks_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
    AND to_date(right(tables.relname, 10), 'YYYY_MM_DD') < $1::date
ORDER BY tables.relname;

-- name: count_unfolded
-- How many experiences of a partition are in no summary.
SELECT coalesce(sum(experiences), 0)::bigint AS experiences FROM old_partition
WHERE NOT is_folded;

-- name: detach_partition
-- Take a partition out of the log without making anybody wait; outside a transaction.
ALTER TABLE experience_chunks DETACH PARTITION old_partition CONCURRENTLY;

-- name: finish_detachment
-- Finish what a broken-off detachment began.
ALTER TABLE experience_chunks DETACH PARTITION old_partition FINALIZE;

-- name: rescue_unfolded
-- Put what is in no summary of a detached partition back into the log, as if it had arrived now.
INSERT INTO experience_chunks (
    chunk_id, agent, fingerprint, source, q_table_id, table_version, experiences, first_at, last_at,
    occurred_at, episode, step, state, action, reward, next_state, terminated, truncated, propensity,
    exploration_rate, success, policy_version, developer, project
)
OVERRIDING SYSTEM VALUE
SELECT
    chunk_id,
    agent,
    fingerprint,
    source,
    q_table_id,
    table_version,
    experiences,
    first_at,
    last_at,
    occurred_at,
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
    developer,
    project
FROM old_partition
WHERE NOT is_folded;

-- name: drop_partition
-- Remove a detached partition.
DROP TABLE old_partition;

-- name: remove_folded_chunks
-- Remove chunks that are counted in summaries from partitions that must stay for what else they hold.
DELETE FROM experience_chunks
WHERE arrived_at < $1 AND is_folded;

-- name: prune_flushes
-- Forget flushes nobody can repeat any more.
DELETE FROM flushes
WHERE committed_at < $1;

-- name: count_evidence
-- How many experiences of each agent and contract there are, in the log and in summaries together.
SELECT
    agent,
    fingerprint,
    sum(live)::bigint AS live,
    sum(summarised)::bigint AS summarised
FROM (
    SELECT
        agent,
        fingerprint,
        experiences AS live,
        0 AS summarised
    FROM learnable_chunks
    UNION ALL
    SELECT
        agent,
        fingerprint,
        0 AS live,
        count AS summarised
    FROM transition_summaries
) AS counted
GROUP BY agent, fingerprint
ORDER BY agent, fingerprint;
