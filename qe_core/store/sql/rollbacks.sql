-- name: insert_rollback
-- Keep a rollback and its evidence.
INSERT INTO rollback_events (
    agent, mode, trigger, evidence, rolled_back_by, from_version, to_version, served_version, q_table_id,
    epoch_before, version_before, rows_written, rows_removed, is_log_complete, stopped_test
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
RETURNING rollback_id;

-- name: read_last_rollback
-- How long ago an agent was last rolled back.
SELECT
    rollback_id,
    clock_timestamp() - happened_at AS age
FROM rollback_events
WHERE agent = $1
ORDER BY rollback_id DESC
LIMIT 1;

-- name: read_rollbacks
-- Rollbacks of an agent, or of all, newest first, with what each kept out.
SELECT
    events.rollback_id,
    events.agent,
    events.mode,
    events.trigger,
    events.evidence,
    events.rolled_back_by,
    events.from_version,
    events.to_version,
    events.served_version,
    events.q_table_id,
    events.epoch_before,
    events.version_before,
    events.rows_written,
    events.rows_removed,
    events.is_log_complete,
    events.stopped_test,
    events.happened_at,
    coalesce(excluded.experiences, 0)::bigint AS experiences_excluded,
    coalesce(refused.flushes, 0)::bigint AS refused_flushes,
    coalesce(refused.updates, 0)::bigint AS refused_updates
FROM rollback_events AS events
LEFT JOIN LATERAL (
    SELECT sum(chunks.experiences) AS experiences FROM excluded_experiences AS chunks
    WHERE chunks.agent = events.agent AND chunks.excluded_by = events.rollback_id
) AS excluded ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS flushes,
        sum(reported.updates) AS updates
    FROM refused_flushes AS reported
    WHERE reported.q_table_id = events.q_table_id AND reported.epoch = events.epoch_before
) AS refused ON true
WHERE ($1::text IS null OR events.agent = $1) AND ($2::bigint IS null OR events.rollback_id = $2)
ORDER BY events.rollback_id DESC
LIMIT $3;

-- name: has_summarised_since
-- Whether experiences that arrived since a moment may have been counted in an agent's summaries.
SELECT
    $3::timestamptz < now() - interval '1 day' AND EXISTS (
        SELECT FROM transition_summaries
        WHERE agent = $1 AND fingerprint = $2 AND updated_at > $3
    );

-- name: readmit_experiences
-- Undo exclusions of rollbacks that came after a version was frozen.
UPDATE excluded_experiences AS excluded SET readmitted_by = $2
FROM rollback_events AS events
WHERE
    excluded.agent = $1
    AND excluded.readmitted_by IS null
    AND excluded.excluded_by = events.rollback_id
    AND events.rollback_id < $2
    AND events.from_version >= $3;

-- name: exclude_experiences
-- Leave out of learning all experiences of an agent that a version does not rest on.
INSERT INTO excluded_experiences (chunk_id, agent, excluded_by, experiences)
SELECT
    missing.chunk_id,
    $1::text,
    $2::bigint,
    missing.experiences
FROM (
    SELECT
        chunks.chunk_id,
        chunks.experiences
    FROM experience_chunks AS chunks
    WHERE
        chunks.q_table_id = $4
        AND chunks.table_version > $5
        AND chunks.agent = $1
        AND chunks.fingerprint = $6
        AND NOT chunks.is_folded
    UNION ALL
    SELECT
        chunks.chunk_id,
        chunks.experiences
    FROM experience_chunks AS chunks
    WHERE
        chunks.q_table_id IS null
        AND chunks.arrived_at >= $7
        AND chunks.agent = $1
        AND chunks.fingerprint = $6
        AND NOT chunks.is_folded
    UNION ALL
    SELECT
        earlier.chunk_id,
        earlier.experiences
    FROM excluded_experiences AS earlier
    INNER JOIN rollback_events AS excluding ON earlier.excluded_by = excluding.rollback_id
    INNER JOIN rollback_events AS readmitting ON earlier.readmitted_by = readmitting.rollback_id
    WHERE
        earlier.agent = $1
        AND excluding.from_version < $3
        AND readmitting.from_version >= $3
) AS missing
LEFT JOIN excluded_experiences AS already
    ON missing.chunk_id = already.chunk_id AND already.readmitted_by IS null
WHERE already.chunk_id IS null
ON CONFLICT (chunk_id, excluded_by) DO NOTHING;

-- name: note_refused_flush
-- Keep that a flush was refused because its epoch had passed.
INSERT INTO refused_flushes (flush_id, q_table_id, epoch, updates) VALUES ($1, $2, $3, $4)
ON CONFLICT (flush_id) DO NOTHING;
