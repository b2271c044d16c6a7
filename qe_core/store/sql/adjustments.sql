-- name: lock_adjustments
-- Wait until no other transaction adjusts an agent.
SELECT pg_advisory_xact_lock(hashtextextended($1::text, 6));

-- name: read_adjustments
-- The adjustments of an agent, or of all for null, the newest first.
SELECT
    adjustment_id,
    agent,
    adjusted_at,
    adjusted_by,
    verdict,
    reason,
    learning_rate_factor_before,
    learning_rate_factor,
    exploration_floor_before,
    exploration_floor
FROM learning_adjustments
WHERE $1::text IS null OR agent = $1
ORDER BY adjustment_id DESC
LIMIT $2;

-- name: read_present_adjustment
-- What holds for an agent now: its newest adjustment.
SELECT
    learning_rate_factor,
    exploration_floor
FROM learning_adjustments
WHERE agent = $1
ORDER BY adjustment_id DESC
LIMIT 1;

-- name: insert_adjustment
-- Record an adjustment.
INSERT INTO learning_adjustments (
    agent,
    adjusted_by,
    verdict,
    reason,
    learning_rate_factor_before,
    learning_rate_factor,
    exploration_floor_before,
    exploration_floor
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING
    adjustment_id, agent, adjusted_at, adjusted_by, verdict, reason, learning_rate_factor_before,
    learning_rate_factor, exploration_floor_before, exploration_floor;
