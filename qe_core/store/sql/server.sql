-- name: probe
-- The version of a server that answers queries.
SELECT current_setting('server_version');

-- name: describe_server
-- What decides whether this server and this database can be used.
SELECT
    current_setting('server_version_num')::int AS version_num,
    current_setting('server_version') AS version_text,
    current_setting('transaction_read_only')::bool AS is_read_only,
    to_regclass('alembic_version') IS NOT NULL AS is_migrated;

-- name: schema_revision
-- The revision of the schema this database has.
SELECT version_num FROM alembic_version;

-- name: list_databases
-- The names of all databases on this server.
SELECT datname FROM pg_database;

-- name: lock_migrations
-- Wait until no other process migrates this database.
SELECT pg_advisory_lock(hashtextextended('qe_fleet.migrations', 0));

-- name: unlock_migrations
-- Let the next process migrate this database.
SELECT pg_advisory_unlock(hashtextextended('qe_fleet.migrations', 0));

-- name: create_database
-- Create a database; the name is replaced by a quoted one, since identifiers cannot be parameters.
CREATE DATABASE new_database WITH ENCODING = 'UTF8' TEMPLATE = template0;
