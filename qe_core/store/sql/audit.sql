-- name: audit_rows
-- For each agent and contract: how many experiences there are, how far they reach, how many break a rule.
SELECT
    chunks.agent,
    chunks.fingerprint,
    sum(chunks.experiences)::bigint AS experiences,
    max(chunks.chunk_id * 65536 + chunks.experiences - 1) AS last_experience_id,
    min(figures.lowest_state) AS lowest_state,
    max(figures.highest_state) AS highest_state,
    min(figures.lowest_action) AS lowest_action,
    max(figures.highest_action) AS highest_action,
    sum(figures.rewards_out_of_range)::bigint AS rewards_out_of_range,
    sum(figures.propensities_out_of_range)::bigint AS propensities_out_of_range,
    sum(figures.ambiguous_ends)::bigint AS ambiguous_ends
FROM experience_chunks AS chunks
CROSS JOIN
    LATERAL (
        SELECT
            least(min(single.state), min(single.next_state)) AS lowest_state,
            greatest(max(single.state), max(single.next_state)) AS highest_state,
            min(single.action) AS lowest_action,
            max(single.action) AS highest_action,
            count(*) FILTER (WHERE NOT single.reward BETWEEN -100 AND 100) AS rewards_out_of_range,
            count(*) FILTER (
                WHERE NOT (single.propensity > 0 AND single.propensity <= 1)
            ) AS propensities_out_of_range,
            count(*) FILTER (WHERE single.terminated AND single.truncated) AS ambiguous_ends
        FROM
            unnest(
                chunks.state, chunks.action, chunks.reward, chunks.next_state, chunks.terminated,
                chunks.truncated, chunks.propensity
            ) AS single (state, action, reward, next_state, terminated, truncated, propensity)
    ) AS figures
WHERE NOT chunks.is_folded
GROUP BY chunks.agent, chunks.fingerprint
ORDER BY chunks.agent, chunks.fingerprint;

-- name: audit_episodes
-- For each agent and contract: steps logged twice, and steps logged after the end of their episode.
SELECT
    agent,
    fingerprint,
    sum(steps - distinct_steps)::bigint AS repeated_steps,
    count(*) FILTER (WHERE last_step > end_step) AS episodes_beyond_their_end
FROM (
    SELECT
        chunks.agent,
        chunks.fingerprint,
        count(*) AS steps,
        count(DISTINCT single.step) AS distinct_steps,
        max(single.step) AS last_step,
        min(single.step) FILTER (WHERE single.terminated OR single.truncated) AS end_step
    FROM experience_chunks AS chunks
    CROSS JOIN
        LATERAL unnest(chunks.episode, chunks.step, chunks.terminated, chunks.truncated) AS single (
            episode, step, terminated, truncated
        )
    WHERE NOT chunks.is_folded
    GROUP BY chunks.agent, chunks.fingerprint, chunks.source, single.episode
) AS episodes
GROUP BY agent, fingerprint
ORDER BY agent, fingerprint;
