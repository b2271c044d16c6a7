-- name: ensure_partition
-- Make sure the log has a partition for a month; true if it was made.
SELECT ensure_experience_partition($1::date);

-- name: create_incoming_experiences
-- A place in this session for experiences on their way into the log.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_experiences (
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
) ON COMMIT DELETE ROWS;

-- name: insert_new_experiences
-- Append the incoming experiences the log does not have yet, in the order of its index.
INSERT INTO learning_experiences (
    occurred_at, agent, episode, step, state, action, reward, next_state, terminated, truncated,
    propensity, exploration_rate, success, policy_version, fingerprint, source
)
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
FROM incoming_experiences
ORDER BY agent, occurred_at, source, episode, step
ON CONFLICT (agent, occurred_at, source, episode, step) DO NOTHING;

-- name: read_transitions
-- An agent's transitions under one contract in canonical order, fixed width.
SELECT
    state,
    action,
    reward,
    next_state,
    terminated,
    truncated
FROM learning_experiences
WHERE agent = $1 AND fingerprint = $2 AND experience_id > $3 AND experience_id <= $4
ORDER BY occurred_at, source, episode, step;

-- name: read_columns
-- An agent's next experiences in order of arrival, all columns; times in microseconds of the Unix epoch.
SELECT
    experience_id,
    (extract(EPOCH FROM occurred_at) * 1000000)::bigint AS occurred_at,
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
WHERE agent = $1 AND experience_id > $2
ORDER BY experience_id
LIMIT $3;

-- name: count_experiences
-- How much each agent has in the log.
SELECT
    agent,
    sum(steps)::bigint AS experiences,
    count(*) AS episodes,
    max(last_id) AS last_experience_id,
    max(last_at) AS last_occurred_at
FROM (
    SELECT
        agent,
        count(*) AS steps,
        max(experience_id) AS last_id,
        max(occurred_at) AS last_at
    FROM learning_experiences
    GROUP BY agent, source, episode
) AS episodes
GROUP BY agent
ORDER BY agent;

-- name: read_episodes
-- One row per episode of an agent in the canonical order of last steps, fixed width; null contract means all.
SELECT
    sum(reward ORDER BY step) AS total_reward,
    count(*) AS steps,
    coalesce(max(success::int), -1)::smallint AS success,
    coalesce((array_agg(exploration_rate ORDER BY step DESC))[1], 'NaN') AS exploration_rate,
    sum(reward * reward ORDER BY step) AS reward_sum_squares,
    min(experience_id) AS first_experience_id,
    max(experience_id) AS last_experience_id,
    bool_or(terminated OR truncated) AS is_finished
FROM learning_experiences
WHERE agent = $1 AND ($2::text IS NULL OR fingerprint = $2::text)
GROUP BY source, episode
ORDER BY max(occurred_at), source, episode;
