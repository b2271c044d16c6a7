-- name: read_opt_out_generation
-- A number that every opt-out and every return from one raises.
SELECT opt_out_generation FROM local_database;

-- name: add_opt_out
-- Have somebody not take part from now on; where that holds already it stays as it is.
INSERT INTO opt_outs (kind, subject, opted_out_by)
VALUES ($1, $2, $3)
ON CONFLICT (kind, subject) WHERE lifted_at IS null DO UPDATE SET subject = excluded.subject
RETURNING kind, subject, opted_out_by, opted_out_at, lifted_by, lifted_at, xmax = 0 AS is_new;

-- name: lift_opt_out
-- Have somebody take part again.
UPDATE opt_outs SET lifted_by = $3, lifted_at = clock_timestamp()
WHERE kind = $1 AND subject = $2 AND lifted_at IS null
RETURNING opt_out_id, kind, subject, opted_out_by, opted_out_at, lifted_by, lifted_at;

-- name: withhold_chunks
-- Keep for ever unshared what is in the log of somebody, or something, that opted out.
INSERT INTO withheld_chunks (chunk_id, opt_out_id)
SELECT
    chunk_id,
    $1 AS opt_out_id
FROM experience_chunks
WHERE
    NOT is_folded
    AND CASE $2::text
        WHEN 'developer' THEN developer = $3::text
        WHEN 'project' THEN project = $3::text
        WHEN 'agent' THEN agent = $3::text
        ELSE true
    END
ON CONFLICT (chunk_id) DO NOTHING;

-- name: list_opt_outs
-- Who and what does not take part, the oldest first.
SELECT
    kind,
    subject,
    opted_out_by,
    opted_out_at,
    lifted_by,
    lifted_at
FROM opt_outs
WHERE lifted_at IS null
ORDER BY opt_out_id;

-- name: add_team_log
-- Say what happened between this database and the team.
INSERT INTO team_sync_log (kind, logged_by, details)
VALUES ($1, $2, $3);

-- name: read_team_log
-- What happened, the newest first; null means every kind.
SELECT
    entry_id,
    kind,
    logged_by,
    details,
    logged_at
FROM team_sync_log
WHERE $1::text IS null OR kind = $1::text
ORDER BY entry_id DESC
LIMIT $2;
