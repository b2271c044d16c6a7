-- name: make_partitions
-- Make sure the log has partitions for today and some days to come, by the server's clock; how many are new.
SELECT sum(ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date + days)::int) AS made
FROM generate_series(0, $1::int) AS days;

-- name: lock_log
-- Wait until no other transaction appends to an agent's log from this source.
SELECT pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 3));

-- name: first_overlapping_time
-- First of the times in chunks that reach into a span; null where no chunk of an agent and source does.
SELECT min(first_at)
FROM experience_chunks
WHERE agent = $1 AND source = $2 AND last_at >= $3 AND first_at <= $4;

-- name: read_overlapping_times
-- The times in the chunks whose times reach into a span, those folded but still there included.
SELECT occurred_at
FROM experience_chunks
WHERE agent = $1 AND source = $2 AND last_at >= $3 AND first_at <= $4;

-- name: read_overlapping_keys
-- What experiences are known by, in the chunks whose times reach into a span.
SELECT
    occurred_at,
    episode,
    step
FROM experience_chunks
WHERE agent = $1 AND source = $2 AND last_at >= $3 AND first_at <= $4;

-- name: list_chunks
-- Number, size and times of an agent's chunks under one contract, by first time, fixed width.
SELECT
    chunk_id,
    experiences,
    first_at,
    last_at,
    is_in_order
FROM learnable_chunks
WHERE agent = $1 AND fingerprint = $2 AND chunk_id BETWEEN $3 AND $4
ORDER BY first_at, chunk_id;

-- name: read_transitions
-- An agent's transitions under one contract in the chunks that begin within a span.
SELECT
    chunk_id,
    experiences,
    occurred_at,
    state,
    action,
    reward,
    next_state,
    terminated,
    truncated
FROM learnable_chunks
WHERE
    agent = $1 AND fingerprint = $2 AND first_at BETWEEN $3 AND $4
    AND chunk_id BETWEEN $5 AND $6
ORDER BY first_at, chunk_id;

-- name: read_transitions_in_order
-- The same without times, where chunks are known to follow each other.
SELECT
    chunk_id,
    experiences,
    state,
    action,
    reward,
    next_state,
    terminated,
    truncated
FROM learnable_chunks
WHERE
    agent = $1 AND fingerprint = $2 AND first_at BETWEEN $3 AND $4
    AND chunk_id BETWEEN $5 AND $6
ORDER BY first_at, chunk_id;

-- name: read_single_transitions
-- The same one by one, fixed width: quicker where chunks hold only a few.
SELECT
    chunks.chunk_id * 65536 + single.position - 1 AS experience_id,
    single.occurred_at,
    single.state,
    single.action,
    single.reward,
    single.next_state,
    single.terminated,
    single.truncated
FROM learnable_chunks AS chunks
CROSS JOIN
    LATERAL unnest(
        chunks.occurred_at, chunks.state, chunks.action, chunks.reward, chunks.next_state, chunks.terminated,
        chunks.truncated
    ) WITH ORDINALITY AS single (
        occurred_at, state, action, reward, next_state, terminated, truncated, position
    )
WHERE
    chunks.agent = $1 AND chunks.fingerprint = $2 AND chunks.first_at BETWEEN $3 AND $4
    AND chunks.chunk_id BETWEEN $5 AND $6;

-- name: read_keys
-- What orders experiences of equal times, for some of an agent's chunks.
SELECT
    chunk_id,
    source,
    experiences,
    episode,
    step
FROM experience_chunks
WHERE agent = $1 AND chunk_id = any($2::bigint[])
ORDER BY chunk_id;

-- name: list_arrivals
-- Number and size of an agent's next chunks in order of arrival.
SELECT
    chunk_id,
    experiences
FROM experience_chunks
WHERE agent = $1 AND chunk_id >= $2 AND NOT is_folded
ORDER BY chunk_id
LIMIT $3;

-- name: read_columns
-- All columns of an agent's chunks in order of arrival.
SELECT
    chunk_id,
    experiences,
    agent,
    fingerprint,
    source,
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
    policy_version
FROM experience_chunks
WHERE agent = $1 AND chunk_id BETWEEN $2 AND $3 AND NOT is_folded
ORDER BY chunk_id;

-- name: count_experiences
-- How much each agent has in the log.
SELECT
    agent,
    sum(experiences)::bigint AS experiences,
    sum(episodes_begun)::bigint AS episodes,
    max(chunk_id * 65536 + experiences - 1) AS last_experience_id,
    max(last_at) AS last_occurred_at
FROM experience_chunks
WHERE NOT is_folded
GROUP BY agent
ORDER BY agent;

-- name: read_episodes
-- One row per episode of an agent in the canonical order of last steps, fixed width; null contract means all.
SELECT
    sum(reward ORDER BY step) AS total_reward,
    count(*) AS steps,
    max(success)::smallint AS success,
    (array_agg(exploration_rate ORDER BY step DESC))[1] AS exploration_rate,
    sum(reward * reward ORDER BY step) AS reward_sum_squares,
    min(experience_id) AS first_experience_id,
    max(experience_id) AS last_experience_id,
    bool_or(terminated OR truncated) AS is_finished
FROM (
    SELECT
        chunks.source,
        single.occurred_at,
        single.episode,
        single.step,
        single.reward,
        single.terminated,
        single.truncated,
        single.exploration_rate,
        single.success,
        chunks.chunk_id * 65536 + single.position - 1 AS experience_id
    FROM learnable_chunks AS chunks
    CROSS JOIN
        LATERAL unnest(
            chunks.occurred_at, chunks.episode, chunks.step, chunks.reward, chunks.terminated,
            chunks.truncated, chunks.exploration_rate, chunks.success
        ) WITH ORDINALITY AS single (
            occurred_at, episode, step, reward, terminated, truncated, exploration_rate, success, position
        )
    WHERE
        chunks.agent = $1 AND ($2::text IS null OR chunks.fingerprint = $2::text)
) AS steps
GROUP BY source, episode
ORDER BY max(occurred_at), source, episode;
