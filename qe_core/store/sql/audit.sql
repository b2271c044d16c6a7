-- name: audit_rows
-- For each agent and contract: how many experiences there are, how far they reach, how many break a rule.
SELECT
    agent,
    fingerprint,
    count(*) AS experiences,
    max(experience_id) AS last_experience_id,
    least(min(state), min(next_state)) AS lowest_state,
    greatest(max(state), max(next_state)) AS highest_state,
    min(action) AS lowest_action,
    max(action) AS highest_action,
    count(*) FILTER (WHERE NOT reward BETWEEN -100 AND 100) AS rewards_out_of_range,
    count(*) FILTER (WHERE NOT (propensity > 0 AND propensity <= 1)) AS propensities_out_of_range,
    count(*) FILTER (WHERE terminated AND truncated) AS ambiguous_ends
FROM learning_experiences
GROUP BY agent, fingerprint
ORDER BY agent, fingerprint;

-- name: audit_episodes
-- For each agent and contract: steps logged twice, and steps logged after the end of their episode.
SELECT
    agent,
    fingerprint,
    sum(steps - distinct_steps)::bigint AS repeated_steps,
    count(*) FILTER (WHERE last_step > end_step) AS episodes_beyond_their_end
FROM (
    SELECT
        agent,
        fingerprint,
        count(*) AS steps,
        count(DISTINCT step) AS distinct_steps,
        max(step) AS last_step,
        min(step) FILTER (WHERE terminated OR truncated) AS end_step
    FROM learning_experiences
    GROUP BY agent, fingerprint, source, episode
) AS episodes
GROUP BY agent, fingerprint
ORDER BY agent, fingerprint;
