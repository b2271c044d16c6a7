-- name: split_chunks
-- Store an agent's experiences again for another agent, in chunks of five.
INSERT INTO experience_chunks (
    agent, fingerprint, source, experiences, first_at, last_at, occurred_at, episode, step, state, action,
    reward, next_state, terminated, truncated, propensity, exploration_rate, success, policy_version
)
SELECT
    %(small)s AS agent,
    min(fingerprint) AS fingerprint,
    min(source) AS source,
    count(*) AS experiences,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    array_agg(occurred_at) AS occurred_at,
    array_agg(episode) AS episode,
    array_agg(step) AS step,
    array_agg(state) AS state,
    array_agg(action) AS action,
    array_agg(reward) AS reward,
    array_agg(next_state) AS next_state,
    array_agg(terminated) AS terminated,
    array_agg(truncated) AS truncated,
    array_agg(propensity) AS propensity,
    array_agg('NaN'::float8) AS exploration_rate,
    array_agg((-1)::smallint) AS success,
    array_agg((-1)::bigint) AS policy_version
FROM learning_experiences
WHERE agent = %(large)s
GROUP BY experience_id / 65536, experience_id %% 65536 / 5;
