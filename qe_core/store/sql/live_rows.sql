-- name: read_live_rows
-- Some states of some tables, found or not, each row packed, with what their table is at that moment.
SELECT
    asked.q_table_id,
    asked.state,
    tables.version,
    tables.epoch,
    tables.is_current,
    array_send(rows.q) || array_send(rows.visits) || array_send(rows.target_mean)
    || array_send(rows.target_m2) || array_send(rows.weights) AS packed
FROM unnest($1::int[], $2::bigint[]) AS asked (q_table_id, state)
INNER JOIN q_tables AS tables ON asked.q_table_id = tables.q_table_id
LEFT JOIN q_values AS rows ON asked.q_table_id = rows.q_table_id AND asked.state = rows.state;

-- name: read_live_row
-- One state of one table, packed; nothing where there is no row.
SELECT
    array_send(q) || array_send(visits) || array_send(target_mean) || array_send(target_m2)
    || array_send(weights) AS packed
FROM q_values
WHERE q_table_id = $1 AND state = $2;

-- name: read_table_versions
-- What some tables are now: the check behind the notifications.
SELECT
    q_table_id,
    version,
    epoch,
    is_current
FROM q_tables
WHERE q_table_id = any($1::int[]);

-- name: announce_table
-- Tell every process that any row of a table may have changed, or its epoch, or that it was retired.
SELECT pg_notify('qe_tables', $1::int || ' ' || $2::bigint || ' - *');

-- name: insist_on_indexes
-- Plan this session's few prepared statements once, for few rows found by key, and interpret them.
SELECT
    set_config('plan_cache_mode', 'force_generic_plan', false) AS plan_cache_mode,
    set_config('enable_seqscan', 'off', false) AS enable_seqscan,
    set_config('enable_hashjoin', 'off', false) AS enable_hashjoin,
    set_config('enable_mergejoin', 'off', false) AS enable_mergejoin,
    set_config('jit', 'off', false) AS jit;
