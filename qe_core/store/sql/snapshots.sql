-- name: lock_snapshots
-- Wait until no other transaction takes or removes snapshots of a table.
SELECT pg_advisory_xact_lock(hashtextextended($1::int::text, 6));

-- name: create_differing_rows
-- A place in this session for rows that differ from the newest snapshot, and what their tables are.
CREATE TEMPORARY TABLE IF NOT EXISTS differing_rows (
    q_table_id int NOT NULL,
    table_version bigint NOT NULL,
    source_version jsonb NOT NULL,
    table_states bigint NOT NULL,
    table_visits bigint NOT NULL,
    state bigint,
    is_live bool NOT NULL,
    is_kept bool NOT NULL,
    q float8[],
    visits bigint[],
    target_mean float8[],
    target_m2 float8[],
    weights float8[]
) ON COMMIT DELETE ROWS;

-- name: find_differing_rows
-- Rows of some tables whose bits differ from those last frozen, at one moment; a line where none does.
INSERT INTO differing_rows
WITH live AS (
    SELECT
        q_table_id,
        state,
        q,
        visits,
        target_mean,
        target_m2,
        weights
    FROM q_values
    WHERE q_table_id = any($1::int[])
),

kept AS (
    SELECT
        q_table_id,
        state,
        q,
        visits,
        target_mean,
        target_m2,
        weights
    FROM snapshot_rows
    WHERE q_table_id = any($1::int[]) AND held_until = 9223372036854775807
),

totals AS (
    SELECT
        live.q_table_id,
        count(*) AS states,
        sum(own.visits)::bigint AS visits
    FROM live
    CROSS JOIN LATERAL (SELECT sum(visit) AS visits FROM unnest(live.visits) AS visit) AS own
    GROUP BY live.q_table_id
),

pairs AS (
    SELECT
        coalesce(live.q_table_id, kept.q_table_id) AS q_table_id,
        coalesce(live.state, kept.state) AS state,
        live.state IS NOT null AS is_live,
        kept.state IS NOT null AS is_kept,
        live.q,
        live.visits,
        live.target_mean,
        live.target_m2,
        live.weights
    FROM live
    FULL JOIN kept ON live.q_table_id = kept.q_table_id AND live.state = kept.state
    WHERE
        array_send(live.q) IS DISTINCT FROM array_send(kept.q)
        OR live.visits IS DISTINCT FROM kept.visits
        OR array_send(live.target_mean) IS DISTINCT FROM array_send(kept.target_mean)
        OR array_send(live.target_m2) IS DISTINCT FROM array_send(kept.target_m2)
        OR array_send(live.weights) IS DISTINCT FROM array_send(kept.weights)
)

SELECT
    tables.q_table_id,
    tables.version AS table_version,
    tables.source_version,
    coalesce(totals.states, 0) AS table_states,
    coalesce(totals.visits, 0) AS table_visits,
    pairs.state,
    coalesce(pairs.is_live, false) AS is_live,
    coalesce(pairs.is_kept, false) AS is_kept,
    pairs.q,
    pairs.visits,
    pairs.target_mean,
    pairs.target_m2,
    pairs.weights
FROM q_tables AS tables
LEFT JOIN totals ON tables.q_table_id = totals.q_table_id
LEFT JOIN pairs ON tables.q_table_id = pairs.q_table_id
WHERE tables.q_table_id = any($1::int[]);

-- name: insert_snapshots
-- A new snapshot of each table that differs from its newest one or has none.
INSERT INTO table_snapshots (q_table_id, table_version, source_version, states, visits, rows_stored)
SELECT
    found.q_table_id,
    found.table_version,
    found.source_version,
    found.table_states,
    found.table_visits,
    count(*) FILTER (WHERE found.is_live) AS rows_stored
FROM differing_rows AS found
GROUP BY
    found.q_table_id, found.table_version, found.source_version, found.table_states, found.table_visits
HAVING
    count(found.state) > 0
    OR NOT EXISTS (
        SELECT FROM table_snapshots AS taken
        WHERE taken.q_table_id = found.q_table_id
    );

-- name: read_newest_snapshots
-- The newest snapshot of each of some tables.
SELECT
    q_table_id,
    max(snapshot_id) AS snapshot_id
FROM table_snapshots
WHERE q_table_id = any($1::int[])
GROUP BY q_table_id;

-- name: end_replaced_rows
-- Rows that differ now were held until the newest snapshot of their table.
UPDATE snapshot_rows AS kept
SET held_until = newest.snapshot_id
FROM differing_rows AS found, unnest($1::int[], $2::bigint[]) AS newest (q_table_id, snapshot_id)
WHERE
    found.is_kept
    AND newest.q_table_id = found.q_table_id
    AND kept.q_table_id = found.q_table_id
    AND kept.state = found.state
    AND kept.held_until = 9223372036854775807;

-- name: store_differing_rows
-- Rows that differ now are held from the newest snapshot of their table on.
INSERT INTO snapshot_rows (q_table_id, state, held_from, q, visits, target_mean, target_m2, weights)
SELECT
    found.q_table_id,
    found.state,
    newest.snapshot_id AS held_from,
    found.q,
    found.visits,
    found.target_mean,
    found.target_m2,
    found.weights
FROM differing_rows AS found
INNER JOIN unnest($1::int[], $2::bigint[]) AS newest (q_table_id, snapshot_id)
    ON found.q_table_id = newest.q_table_id
WHERE found.is_live
ORDER BY found.q_table_id, found.state;

-- name: read_frozen_rows
-- The rows a snapshot holds, in state order, fixed width.
SELECT
    state,
    q,
    visits,
    target_mean,
    target_m2,
    weights
FROM snapshot_rows
WHERE q_table_id = $1 AND held_from <= $2 AND held_until > $2
ORDER BY state;

-- name: read_frozen_tables
-- The three tables a version names: own, category, fleet.
SELECT
    tables.q_table_id,
    tables.level,
    tables.name,
    tables.fingerprint,
    tables.state_count,
    tables.action_names,
    tables.epoch,
    snapshots.table_version AS version,
    snapshots.snapshot_id
FROM policy_versions AS versions
CROSS JOIN
    LATERAL unnest(
        '{}'::bigint[] || versions.own_snapshot || versions.category_snapshot || versions.fleet_snapshot
    ) WITH ORDINALITY AS named (snapshot_id, place)
INNER JOIN table_snapshots AS snapshots ON named.snapshot_id = snapshots.snapshot_id
INNER JOIN q_tables AS tables ON snapshots.q_table_id = tables.q_table_id
WHERE versions.number = $1
ORDER BY named.place;

-- name: insert_version
-- A new policy version.
INSERT INTO policy_versions (
    agent, fingerprint, own_snapshot, category_snapshot, fleet_snapshot, exploration_state, reason, created_by
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING number;

-- name: read_versions
-- Versions of an agent, or one by its number, newest first, with what their own table held.
SELECT
    versions.number,
    versions.agent,
    versions.fingerprint,
    versions.own_snapshot,
    versions.category_snapshot,
    versions.fleet_snapshot,
    versions.exploration_state,
    versions.reason,
    versions.created_by,
    versions.created_at,
    snapshots.q_table_id,
    snapshots.table_version,
    snapshots.taken_at,
    snapshots.states,
    snapshots.visits,
    tables.is_current,
    behind.rollbacks > 0 AS is_withdrawn
FROM policy_versions AS versions
INNER JOIN table_snapshots AS snapshots ON versions.own_snapshot = snapshots.snapshot_id
INNER JOIN q_tables AS tables ON snapshots.q_table_id = tables.q_table_id
LEFT JOIN LATERAL (
    SELECT count(*) AS rollbacks FROM rollback_events AS events
    WHERE
        events.agent = versions.agent
        AND events.to_version < versions.number
        AND events.from_version >= versions.number
        AND NOT EXISTS (
            SELECT FROM rollback_events AS later
            WHERE
                later.agent = versions.agent
                AND later.rollback_id > events.rollback_id
                AND later.to_version = versions.number
        )
) AS behind ON true
WHERE
    ($1::text IS null OR versions.agent = $1)
    AND ($2::bigint IS null OR versions.number = $2)
ORDER BY versions.number DESC
LIMIT $3;

-- name: hold_versions
-- Let nobody name a version until the end of the transaction.
SELECT number FROM policy_versions
ORDER BY number FOR UPDATE;

-- name: read_version_ages
-- All versions with what thinning must know: when they were taken, and whether something names them.
WITH named AS (
    SELECT number FROM policy_aliases
    UNION DISTINCT
    SELECT control_version AS number FROM ab_tests
    UNION DISTINCT
    SELECT treatment_version AS number FROM ab_tests
    UNION DISTINCT
    SELECT from_version AS number FROM rollback_events
    UNION DISTINCT
    SELECT to_version AS number FROM rollback_events
)

SELECT
    versions.number,
    versions.agent,
    versions.created_at,
    named.number IS NOT null AS is_named
FROM policy_versions AS versions
LEFT JOIN named ON versions.number = named.number
ORDER BY versions.agent, versions.number;

-- name: read_frozen_table_ids
-- All tables that have snapshots.
SELECT DISTINCT q_table_id FROM table_snapshots
ORDER BY q_table_id;

-- name: remove_versions
-- Remove some policy versions.
DELETE FROM policy_versions
WHERE number = any($1::bigint[]);

-- name: remove_unnamed_snapshots
-- Remove the snapshots no version names.
DELETE FROM table_snapshots AS snapshots
WHERE NOT EXISTS (
    SELECT FROM policy_versions AS versions
    WHERE
        versions.own_snapshot = snapshots.snapshot_id
        OR versions.category_snapshot = snapshots.snapshot_id
        OR versions.fleet_snapshot = snapshots.snapshot_id
);

-- name: remove_unheld_rows
-- Remove the rows no snapshot holds any more.
DELETE FROM snapshot_rows AS kept
WHERE NOT EXISTS (
    SELECT FROM table_snapshots AS snapshots
    WHERE
        snapshots.q_table_id = kept.q_table_id
        AND snapshots.snapshot_id >= kept.held_from
        AND snapshots.snapshot_id < kept.held_until
);

-- name: restore_rows
-- Put back, in state order, those rows of a snapshot whose bits differ from the live table's.
INSERT INTO q_values AS live (q_table_id, state, q, visits, target_mean, target_m2, weights)
SELECT
    q_table_id,
    state,
    q,
    visits,
    target_mean,
    target_m2,
    weights
FROM snapshot_rows
WHERE q_table_id = $1 AND held_from <= $2 AND held_until > $2
ORDER BY state
ON CONFLICT (q_table_id, state) DO UPDATE SET
    q = excluded.q,
    visits = excluded.visits,
    target_mean = excluded.target_mean,
    target_m2 = excluded.target_m2,
    weights = excluded.weights,
    version = live.version + 1,
    updated_at = now()
WHERE
array_send(live.q) <> array_send(excluded.q)
OR live.visits <> excluded.visits
OR array_send(live.target_mean) <> array_send(excluded.target_mean)
OR array_send(live.target_m2) <> array_send(excluded.target_m2)
OR array_send(live.weights) <> array_send(excluded.weights);

-- name: remove_rows_not_frozen
-- Take away the live table's rows that a snapshot does not hold.
DELETE FROM q_values AS live
WHERE
    live.q_table_id = $1
    AND NOT EXISTS (
        SELECT FROM snapshot_rows AS frozen
        WHERE
            frozen.q_table_id = $1
            AND frozen.state = live.state
            AND frozen.held_from <= $2
            AND frozen.held_until > $2
    );

-- name: restore_table
-- A restored table has a new version and a new epoch, and the sources of what was restored.
UPDATE q_tables AS tables SET
    version = tables.version + 1,
    epoch = tables.epoch + 1,
    source_version = frozen.source_version,
    updated_at = now()
FROM table_snapshots AS frozen
WHERE tables.q_table_id = $1 AND frozen.snapshot_id = $2
RETURNING tables.version;
