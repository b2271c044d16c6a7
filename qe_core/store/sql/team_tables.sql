-- name: lock_pulls
-- Wait until nobody else stores or undoes a pull, and keep others waiting until this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('team_pulls', 7));

-- name: insert_pull
-- Begin a pull; nothing where it is known already.
INSERT INTO team_pulls (pull_id, pulled_by)
VALUES ($1, $2)
ON CONFLICT (pull_id) DO NOTHING
RETURNING pull_number;

-- name: insert_team_table
-- Store a table a pull brought.
INSERT INTO team_tables (
    pull_number, agent, fingerprint, version, state_count, action_count, pair, q, visits, error, reported
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: read_current_versions
-- The version of each agent's table in use, by contract.
SELECT
    agent,
    fingerprint,
    version
FROM current_team_tables
ORDER BY agent, fingerprint;

-- name: read_known_versions
-- The highest version of each agent's table that ever came, undone or not.
SELECT
    agent,
    fingerprint,
    max(version) AS version
FROM team_tables
GROUP BY agent, fingerprint
ORDER BY agent, fingerprint;

-- name: read_current_team_table
-- An agent's table of the team in use.
SELECT
    agent,
    fingerprint,
    version,
    state_count,
    action_count,
    pair,
    q,
    visits,
    error,
    reported,
    pull_id,
    pulled_at
FROM current_team_tables
WHERE agent = $1 AND fingerprint = $2;

-- name: read_team_table
-- One version of an agent's table of the team, in use or not, as it last came.
SELECT
    tables.agent,
    tables.fingerprint,
    tables.version,
    tables.state_count,
    tables.action_count,
    tables.pair,
    tables.q,
    tables.visits,
    tables.error,
    tables.reported,
    pulls.pull_id,
    pulls.pulled_at
FROM team_tables AS tables
INNER JOIN team_pulls AS pulls ON tables.pull_number = pulls.pull_number
WHERE tables.agent = $1 AND tables.fingerprint = $2 AND tables.version = $3
ORDER BY tables.pull_number DESC
LIMIT 1;

-- name: undo_pull
-- Have a pull not count any more; null means the last one that counts. Nothing where there is none.
UPDATE team_pulls SET undone_by = $2, undone_at = clock_timestamp()
WHERE
    pull_number = (
        SELECT max(pull_number) FROM team_pulls
        WHERE undone_at IS null AND ($1::uuid IS null OR pull_id = $1::uuid)
    )
RETURNING pull_id;

-- name: list_pulls
-- All pulls with the versions they brought, the newest first.
SELECT
    pulls.pull_id,
    pulls.pulled_by,
    pulls.pulled_at,
    pulls.undone_by,
    pulls.undone_at,
    jsonb_object_agg(tables.agent, tables.version) AS versions
FROM team_pulls AS pulls
INNER JOIN team_tables AS tables ON pulls.pull_number = tables.pull_number
GROUP BY pulls.pull_number
ORDER BY pulls.pull_number DESC;
