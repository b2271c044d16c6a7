-- name: announce_flush
-- Tell whoever listens which states of which table a committed flush changed; answers the table's version.
SELECT
    table_version,
    pg_notify('qe_tables', q_table_id || ' ' || table_version || ' ' || $2) AS announced
FROM flushes
WHERE flush_id = $1;

-- name: find_flush
-- The version a committed flush raised its table to.
SELECT table_version FROM flushes
WHERE flush_id = $1;

-- name: ensure_day
-- Make sure the log has partitions for today and tomorrow, by the server's clock.
SELECT ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date + days)
FROM generate_series(0, 1) AS days;
