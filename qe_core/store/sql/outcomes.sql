-- name: find_newest_chunks
-- The first of an agent's newest chunks that together hold so many experiences, and how many they hold.
SELECT
    coalesce(min(chunk_id), 9223372036854775807) AS first_chunk,
    coalesce(sum(experiences), 0)::bigint AS experiences
FROM (
    SELECT
        chunk_id,
        experiences,
        arrived_at,
        sum(experiences) OVER (ORDER BY chunk_id DESC) - experiences AS newer
    FROM (
        SELECT
            chunk_id,
            experiences,
            arrived_at
        FROM experience_chunks
        WHERE agent = $1 AND NOT is_folded
        ORDER BY chunk_id DESC
        LIMIT $3
    ) AS newest
) AS counted
WHERE newer < $3 AND arrived_at >= $2;

-- name: read_recent_outcomes
-- Return and success of whole episodes in an agent's chunks from one on, newest first, fixed width.
SELECT
    total_reward,
    success,
    last_experience_id
FROM (
    SELECT
        sum(single.reward ORDER BY single.step) AS total_reward,
        max(single.success)::smallint AS success,
        count(*) AS steps,
        max(chunks.chunk_id * 65536 + single.position - 1) AS last_experience_id,
        max(single.step) AS last_step,
        bool_or(single.terminated OR single.truncated) AS is_finished
    FROM experience_chunks AS chunks
    CROSS JOIN
        LATERAL unnest(
            chunks.episode, chunks.step, chunks.reward, chunks.terminated, chunks.truncated, chunks.success,
            chunks.policy_version
        ) WITH ORDINALITY AS single (
            episode, step, reward, terminated, truncated, success, policy_version, position
        )
    WHERE
        chunks.agent = $1 AND chunks.arrived_at >= $2 AND chunks.chunk_id >= $3 AND NOT chunks.is_folded
        AND $4 = any(chunks.policy_version)
        AND single.policy_version = $4
    GROUP BY chunks.source, single.episode
) AS episodes
WHERE is_finished AND steps = last_step + 1
ORDER BY last_experience_id DESC
LIMIT $5;
