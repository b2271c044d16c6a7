-- name: insert_test
-- Start a test.
INSERT INTO ab_tests (
    key, agent, unit_kind, control_version, treatment_version, hold_out, settings, stage, started_by, why
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING experiment_id;

-- name: read_tests
-- One test by its number, or all, or all that run, in order.
SELECT
    experiment_id,
    key,
    agent,
    unit_kind,
    control_version AS control,
    treatment_version AS treatment,
    hold_out,
    settings,
    stage,
    started_by,
    why,
    started_at,
    verdict,
    ended_at
FROM ab_tests
WHERE ($1::bigint IS null OR experiment_id = $1) AND (verdict IS null OR NOT $2::bool)
ORDER BY experiment_id;

-- name: advance_test
-- Have a test go on to a later stage.
UPDATE ab_tests SET stage = $2
WHERE experiment_id = $1;

-- name: end_test
-- End a test.
UPDATE ab_tests SET verdict = $2, ended_at = now()
WHERE experiment_id = $1;

-- name: note_stage
-- Keep who had a test go on or end, and why.
INSERT INTO ab_stages (experiment_id, from_stage, to_stage, verdict, changed_by, why)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: read_stages
-- The course of a test.
SELECT
    entry_id,
    experiment_id,
    from_stage,
    to_stage,
    verdict,
    changed_by,
    why,
    changed_at
FROM ab_stages
WHERE experiment_id = $1
ORDER BY entry_id;

-- name: create_incoming_units
-- A place in this session for units on their way.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_units (
    experiment_id bigint,
    unit text COLLATE "C",
    stage smallint,
    arm text,
    policy_version bigint,
    assigned_at timestamptz,
    cluster text COLLATE "C",
    reward float8,
    is_success bool,
    cost float8,
    duration_seconds float8,
    recorded_at timestamptz,
    repeats int
) ON COMMIT DELETE ROWS;

-- name: find_wrong_unit
-- A unit that names an unknown test, or a version that is not its arm's.
SELECT
    incoming.experiment_id,
    incoming.unit,
    incoming.arm,
    incoming.policy_version
FROM incoming_units AS incoming
LEFT JOIN ab_tests AS tests ON incoming.experiment_id = tests.experiment_id
WHERE
    incoming.policy_version IS DISTINCT FROM CASE incoming.arm
        WHEN 'control' THEN tests.control_version
        WHEN 'treatment' THEN tests.treatment_version
    END
ORDER BY incoming.experiment_id, incoming.unit
LIMIT 1;

-- name: merge_units
-- Store new units, add outcomes to known ones that had none; how many, and how many named another arm. What
-- was stored is taken from this session's table: the outcomes left in it came again.
WITH stored AS (
    INSERT INTO ab_units AS known (
        experiment_id, unit, stage, arm, policy_version, assigned_at, cluster, reward, is_success, cost,
        duration_seconds, recorded_at
    )
    SELECT
        experiment_id,
        unit,
        stage,
        arm,
        policy_version,
        assigned_at,
        cluster,
        reward,
        is_success,
        cost,
        duration_seconds,
        recorded_at
    FROM incoming_units
    ORDER BY experiment_id, unit
    ON CONFLICT (experiment_id, unit) DO UPDATE
        SET
            reward = excluded.reward,
            is_success = excluded.is_success,
            cost = excluded.cost,
            duration_seconds = excluded.duration_seconds,
            recorded_at = excluded.recorded_at
        WHERE known.recorded_at IS null AND excluded.recorded_at IS NOT null AND known.arm = excluded.arm
    RETURNING known.experiment_id, known.unit, known.xmax = 0 AS is_new
),

taken AS (
    UPDATE incoming_units AS incoming SET recorded_at = null
    FROM stored
    WHERE incoming.experiment_id = stored.experiment_id AND incoming.unit = stored.unit
),

contradicting AS (
    SELECT
        count(*) AS units,
        min(incoming.unit) AS example
    FROM incoming_units AS incoming
    INNER JOIN ab_units AS known
        ON incoming.experiment_id = known.experiment_id AND incoming.unit = known.unit
    WHERE incoming.arm <> known.arm
)

SELECT
    count(*) FILTER (WHERE stored.is_new) AS added,
    count(*) FILTER (WHERE NOT stored.is_new) AS completed,
    (SELECT contradicting.units FROM contradicting) AS contradicting,
    (SELECT contradicting.example FROM contradicting) AS example
FROM stored;

-- name: count_repeats
-- Count the outcomes that came again, after `merge_units`, which has locked their units in order.
UPDATE ab_units AS known
SET repeats = known.repeats + incoming.repeats + (incoming.recorded_at IS NOT null)::int
FROM incoming_units AS incoming
WHERE
    known.experiment_id = incoming.experiment_id AND known.unit = incoming.unit AND known.arm = incoming.arm
    AND (incoming.repeats > 0 OR incoming.recorded_at IS NOT null);

-- name: read_units
-- All units of a test, by stage and arm, in order of assignment.
SELECT
    units.unit,
    units.cluster,
    units.stage,
    units.arm = 'treatment' AS is_treatment,
    (extract(EPOCH FROM units.assigned_at) * 1000000)::bigint AS assigned_at,
    coalesce((extract(EPOCH FROM units.recorded_at) * 1000000)::bigint, 0) AS recorded_at,
    units.recorded_at IS NOT null AS is_recorded,
    coalesce(units.reward, 'NaN') AS reward,
    coalesce(units.is_success::int, -1) AS success,
    coalesce(units.cost, 'NaN') AS cost,
    coalesce(units.duration_seconds, 'NaN') AS duration_seconds,
    units.repeats
FROM ab_units AS units
WHERE units.experiment_id = $1
ORDER BY units.stage, units.arm, units.assigned_at, units.unit;

-- name: insert_analysis
-- Keep a look at a test.
INSERT INTO ab_analyses (experiment_id, stage, verdict, analysis)
VALUES ($1, $2, $3, $4)
RETURNING analysis_id, experiment_id, stage, verdict, analysis, analysed_at;

-- name: read_analyses
-- All looks at a test.
SELECT
    analysis_id,
    experiment_id,
    stage,
    verdict,
    analysis,
    analysed_at
FROM ab_analyses
WHERE experiment_id = $1
ORDER BY analysis_id;
