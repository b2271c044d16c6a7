-- name: lock_agent
-- Hold an agent's current table, and with it all that it serves, until the end of the transaction.
SELECT
    q_table_id,
    fingerprint,
    epoch,
    version,
    clock_timestamp() AS present
FROM q_tables
WHERE level = 'individual' AND name = $1 AND is_current FOR UPDATE;

-- name: read_serving
-- What some agents serve: mode, aliases, running test, and the epoch of their own table.
SELECT
    asked.agent,
    coalesce(modes.mode, 'learning') AS mode,
    stable.number AS stable,
    candidate.number AS candidate,
    tables.epoch,
    tests.experiment_id,
    tests.key,
    tests.unit_kind,
    tests.stage,
    tests.hold_out,
    tests.control_version,
    tests.treatment_version
FROM unnest($1::text[]) AS asked (agent)
LEFT JOIN agent_modes AS modes ON asked.agent = modes.agent
LEFT JOIN policy_aliases AS stable ON asked.agent = stable.agent AND stable.alias = 'stable'
LEFT JOIN policy_aliases AS candidate ON asked.agent = candidate.agent AND candidate.alias = 'candidate'
LEFT JOIN ab_tests AS tests ON asked.agent = tests.agent AND tests.verdict IS null
LEFT JOIN q_tables AS tables
    ON asked.agent = tables.name AND tables.level = 'individual' AND tables.is_current;

-- name: set_alias
-- Have an alias name a version.
INSERT INTO policy_aliases (agent, alias, number) VALUES ($1, $2, $3)
ON CONFLICT (agent, alias) DO UPDATE SET number = excluded.number, moved_at = now();

-- name: remove_alias
-- Have an alias name nothing.
DELETE FROM policy_aliases
WHERE agent = $1 AND alias = $2;

-- name: set_agent_mode
-- Have an agent learn or serve.
INSERT INTO agent_modes (agent, mode) VALUES ($1, $2)
ON CONFLICT (agent) DO UPDATE SET mode = excluded.mode, since = now();

-- name: note_policy_change
-- Keep who changed what, and why.
INSERT INTO policy_history (agent, what, before, after, changed_by, why) VALUES ($1, $2, $3, $4, $5, $6);

-- name: announce_serving
-- Tell every process at the commit that what an agent serves has changed.
SELECT pg_notify('qe_serving', $1::text);

-- name: read_policy_history
-- Changes of what an agent serves, newest first.
SELECT
    change_id,
    agent,
    what,
    before,
    after,
    changed_by,
    why,
    changed_at
FROM policy_history
WHERE agent = $1
ORDER BY change_id DESC
LIMIT $2;

-- name: read_earlier_stable
-- Versions that were stable before, the latest first.
SELECT before::bigint AS number
FROM policy_history
WHERE agent = $1 AND what = 'stable' AND before IS NOT null
ORDER BY change_id DESC;
