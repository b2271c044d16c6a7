-- name: begin_import
-- Register the import of a file, or take it up again where it stopped.
INSERT INTO imports (source, file_digest, file_name)
VALUES ($1, $2, $3)
ON CONFLICT (source, file_digest) DO UPDATE
    SET
        file_name = excluded.file_name,
        state = CASE WHEN imports.state = 'done' THEN 'done' ELSE 'running' END,
        updated_at = CASE WHEN imports.state = 'done' THEN imports.updated_at ELSE now() END
RETURNING
    import_id, source, file_digest, file_name, rows_read, rows_new, rows_bad, state, created_at, updated_at;

-- name: advance_import
-- Record how far an import has come; a position it has passed already changes nothing.
UPDATE imports
SET rows_read = $2, rows_new = rows_new + $3, rows_bad = rows_bad + $4, updated_at = now()
WHERE import_id = $1 AND state = 'running' AND rows_read < $2
RETURNING
    import_id, source, file_digest, file_name, rows_read, rows_new, rows_bad, state, created_at, updated_at;

-- name: finish_import
-- Close an import.
UPDATE imports SET state = $2, updated_at = now()
WHERE import_id = $1
RETURNING
    import_id, source, file_digest, file_name, rows_read, rows_new, rows_bad, state, created_at, updated_at;

-- name: list_imports
-- All imports, newest first.
SELECT
    import_id,
    source,
    file_digest,
    file_name,
    rows_read,
    rows_new,
    rows_bad,
    state,
    created_at,
    updated_at
FROM imports
ORDER BY import_id DESC;
