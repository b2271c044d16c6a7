-- name: lock_stats
-- Wait until no other transaction replaces an agent's windows.
SELECT pg_advisory_xact_lock(hashtextextended($1::text, 2));

-- name: read_windows
-- An agent's statistics windows, oldest first.
SELECT
    window_index,
    first_experience_id,
    last_experience_id,
    episodes,
    experiences,
    mean_return,
    reward_mean,
    reward_sd,
    success_rate,
    exploration_rate,
    mean_abs_q_change,
    bellman_residual,
    greedy_churn,
    states_visited,
    verdict,
    reason,
    return_sd,
    largest_q,
    recent_bias,
    pair_coverage,
    is_settling
FROM learning_stats
WHERE agent = $1
ORDER BY window_index;

-- name: read_latest_windows
-- The newest window of each agent.
SELECT DISTINCT ON (agent)
    agent,
    window_index,
    first_experience_id,
    last_experience_id,
    episodes,
    experiences,
    mean_return,
    reward_mean,
    reward_sd,
    success_rate,
    exploration_rate,
    mean_abs_q_change,
    bellman_residual,
    greedy_churn,
    states_visited,
    verdict,
    reason,
    return_sd,
    largest_q,
    recent_bias,
    pair_coverage,
    is_settling
FROM learning_stats
ORDER BY agent ASC, window_index DESC;

-- name: remove_windows
-- Remove an agent's windows.
DELETE FROM learning_stats
WHERE agent = $1;

-- name: insert_window
-- Store one window of an agent.
INSERT INTO learning_stats (
    agent,
    window_index,
    first_experience_id,
    last_experience_id,
    episodes,
    experiences,
    mean_return,
    reward_mean,
    reward_sd, success_rate, exploration_rate, mean_abs_q_change, bellman_residual, greedy_churn,
    states_visited, verdict, reason, return_sd, largest_q, recent_bias, pair_coverage, is_settling
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
);

-- name: agent_status
-- One line per agent that has an individual table or experiences.
WITH logged AS (
    SELECT
        agent,
        sum(experiences)::bigint AS experiences,
        sum(episodes_begun)::bigint AS episodes,
        max(last_at) AS last_at
    FROM experience_chunks
    WHERE NOT is_folded
    GROUP BY agent
),

learned AS (
    SELECT
        tables.name AS agent,
        tables.updated_at AS last_at,
        count(rows.state) FILTER (WHERE totals.visits > 0) AS states_visited,
        coalesce(sum(totals.visits), 0)::bigint AS updates
    FROM q_tables AS tables
    LEFT JOIN q_values AS rows ON tables.q_table_id = rows.q_table_id
    LEFT JOIN LATERAL (SELECT sum(visit) AS visits FROM unnest(rows.visits) AS visit) AS totals ON true
    WHERE tables.is_current AND tables.level = 'individual'
    GROUP BY tables.q_table_id
),

judged AS (
    SELECT DISTINCT ON (agent)
        agent,
        verdict
    FROM learning_stats
    ORDER BY agent ASC, window_index DESC
)

SELECT
    coalesce(logged.agent, learned.agent) AS agent,
    coalesce(logged.experiences, 0) AS experiences,
    coalesce(logged.episodes, 0) AS episodes,
    coalesce(learned.updates, 0) AS updates,
    coalesce(learned.states_visited, 0) AS states_visited,
    coalesce(judged.verdict, 'insufficient data') AS convergence,
    greatest(logged.last_at, learned.last_at) AS last_update
FROM logged
FULL JOIN learned ON logged.agent = learned.agent
LEFT JOIN judged ON coalesce(logged.agent, learned.agent) = judged.agent
ORDER BY coalesce(logged.agent, learned.agent) COLLATE "C";
