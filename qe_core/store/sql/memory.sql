-- name: read_memory
-- What is remembered under a key, unless it has expired.
SELECT
    key,
    value::text AS value,
    version,
    expires_at,
    updated_at
FROM qe_memory
WHERE namespace = $1 AND key = $2 AND (expires_at IS null OR expires_at > now());

-- name: list_memory
-- What a namespace remembers under keys with a prefix and after a key, by key.
SELECT
    key,
    value::text AS value,
    version,
    expires_at,
    updated_at
FROM qe_memory
WHERE
    namespace = $1
    AND starts_with(key, $2)
    AND key > $3
    AND (expires_at IS null OR expires_at > now())
ORDER BY key
LIMIT $4;

-- name: set_memory
-- Remember a value under a key, whatever was there.
INSERT INTO qe_memory (namespace, key, value, expires_at)
VALUES ($1, $2, $3::text::json, now() + make_interval(secs => $4::float8))
ON CONFLICT (namespace, key) DO UPDATE
    SET
        value = excluded.value,
        version = excluded.version,
        expires_at = excluded.expires_at,
        updated_at = now()
RETURNING key, value::text AS value, version, expires_at, updated_at;

-- name: set_absent_memory
-- Remember a value under a key where nothing is, or only something expired.
INSERT INTO qe_memory AS stored (namespace, key, value, expires_at)
VALUES ($1, $2, $3::text::json, now() + make_interval(secs => $4::float8))
ON CONFLICT (namespace, key) DO UPDATE
    SET
        value = excluded.value,
        version = excluded.version,
        expires_at = excluded.expires_at,
        updated_at = now()
    WHERE stored.expires_at <= now()
RETURNING key, value::text AS value, version, expires_at, updated_at;

-- name: set_memory_of_version
-- Remember a value under a key that is still at a version.
UPDATE qe_memory SET
    value = $3::text::json,
    version = nextval('qe_memory_versions'),
    expires_at = now() + make_interval(secs => $4::float8),
    updated_at = now()
WHERE namespace = $1 AND key = $2 AND version = $5 AND (expires_at IS null OR expires_at > now())
RETURNING key, value::text AS value, version, expires_at, updated_at;

-- name: delete_memory
-- Forget a key, if it is at a version where one is given; answers whether it had not expired.
DELETE FROM qe_memory
WHERE namespace = $1 AND key = $2 AND version = coalesce($3, version)
RETURNING expires_at IS null OR expires_at > now() AS was_there;

-- name: purge_memory
-- Remove up to a thousand expired values that nobody is changing.
WITH expired AS (
    SELECT
        namespace,
        key
    FROM qe_memory
    WHERE expires_at <= now()
    ORDER BY expires_at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)

DELETE FROM qe_memory
USING expired
WHERE qe_memory.namespace = expired.namespace AND qe_memory.key = expired.key;
