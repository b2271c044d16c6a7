-- name: read_unreleased_chunks
-- Chunks of an agent under one contract that no release has marked, or whose tasks had not all ended.
SELECT
    chunks.chunk_id,
    marks.chunk_id IS NOT null AS is_marked,
    withheld.chunk_id IS NOT null AS is_withheld,
    chunks.experiences,
    chunks.source,
    coalesce(chunks.developer, '') AS developer,
    coalesce(chunks.project, '') AS project,
    chunks.occurred_at,
    chunks.episode,
    chunks.step,
    chunks.state,
    chunks.action,
    chunks.reward,
    chunks.next_state,
    chunks.terminated,
    chunks.truncated
FROM learnable_chunks AS chunks
LEFT JOIN released_chunks AS marks ON chunks.chunk_id = marks.chunk_id
LEFT JOIN withheld_chunks AS withheld ON chunks.chunk_id = withheld.chunk_id
WHERE
    chunks.agent = $1 AND chunks.fingerprint = $2 AND chunks.source <> all($3::text[])
    AND marks.closed_by IS null
ORDER BY chunks.first_at, chunks.chunk_id;

-- name: lock_ledger
-- Wait until nobody else makes a release, and keep others waiting until this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('privacy_ledger', 7));

-- name: insert_release
-- Store a release that waits to be sent.
INSERT INTO team_releases (release_id, header, nano_rho, opt_out_generation)
VALUES ($1, $2, $3, $4);

-- name: insert_part
-- Store the noisy counts of one agent of a release.
INSERT INTO release_parts (release_id, agent, fingerprint, part)
VALUES ($1, $2, $3, $4);

-- name: mark_chunks
-- Mark an agent's chunks as taken by a release; those with unfinished tasks stay open.
INSERT INTO released_chunks (chunk_id, agent, release_id, closed_by)
SELECT
    taken.chunk_id,
    $2::text AS agent,
    $1::uuid AS release_id,
    CASE WHEN NOT taken.is_open THEN $1::uuid END AS closed_by
FROM unnest($3::bigint[], $4::bool[]) AS taken (chunk_id, is_open);

-- name: close_chunks
-- Say of chunks marked before that the last of their tasks ended in this release.
UPDATE released_chunks SET closed_by = $1
WHERE chunk_id = any($2::bigint[]) AND closed_by IS null;

-- name: read_last_limit
-- What all releases were allowed to cost together at the last debit.
SELECT lifetime_nano_rho FROM privacy_ledger
ORDER BY entry_number DESC
LIMIT 1;

-- name: insert_debit
-- Pay for a release; the database adds up and refuses what is beyond the limit.
INSERT INTO privacy_ledger (release_id, nano_rho, lifetime_nano_rho)
VALUES ($1, $2, $3)
RETURNING entry_number, release_id, nano_rho, spent_nano_rho, lifetime_nano_rho, debited_at;

-- name: read_ledger
-- All debits in order.
SELECT
    entry_number,
    release_id,
    nano_rho,
    spent_nano_rho,
    lifetime_nano_rho,
    debited_at
FROM privacy_ledger
ORDER BY entry_number;

-- name: sum_ledger
-- What all releases cost together.
SELECT coalesce(sum(nano_rho), 0)::bigint AS spent FROM privacy_ledger;

-- name: read_database_id
-- This database's random name.
SELECT database_id FROM local_database;

-- name: list_releases
-- All releases, the oldest first.
SELECT
    header,
    made_at,
    delivery_began_at,
    sent_at,
    withdrawn_at,
    withdrawn_because
FROM team_releases
ORDER BY made_at, release_id;

-- name: lock_pending
-- Hold a release that waits to be sent; nothing where there is none or somebody else holds it.
SELECT release_id FROM team_releases
WHERE release_id = $1 AND sent_at IS null AND withdrawn_at IS null
FOR UPDATE SKIP LOCKED;

-- name: begin_delivery
-- Say that from now on a release may have arrived.
UPDATE team_releases SET delivery_began_at = clock_timestamp()
WHERE release_id = $1 AND delivery_began_at IS null;

-- name: lock_begun
-- The same for one that is known to be on its way, unless an opt-out has overtaken it.
SELECT release_id FROM team_releases
WHERE
    release_id = $1 AND delivery_began_at IS NOT null AND sent_at IS null AND withdrawn_at IS null
    AND opt_out_generation >= (
        SELECT coalesce(max(generation), 0) FROM opt_outs
        WHERE lifted_at IS null
    )
FOR UPDATE SKIP LOCKED;

-- name: lock_all_pending
-- Releases that wait to be sent, or one of them, held now as far as nobody else holds them.
WITH locked AS (
    SELECT
        release_id,
        delivery_began_at
    FROM team_releases
    WHERE sent_at IS null AND withdrawn_at IS null AND ($1::uuid IS null OR release_id = $1::uuid)
    FOR UPDATE SKIP LOCKED
)

SELECT
    releases.release_id,
    locked.release_id IS NOT null AS is_locked,
    locked.delivery_began_at IS NOT null AS has_begun
FROM team_releases AS releases
LEFT JOIN locked ON releases.release_id = locked.release_id
WHERE
    releases.sent_at IS null AND releases.withdrawn_at IS null
    AND ($1::uuid IS null OR releases.release_id = $1::uuid)
ORDER BY releases.made_at, releases.release_id;

-- name: has_opted_out_since
-- Whether an opt-out holds that a release does not respect.
SELECT count(*) > 0 AS has_opted_out
FROM team_releases AS releases
INNER JOIN opt_outs ON releases.opt_out_generation < opt_outs.generation
WHERE releases.release_id = $1 AND opt_outs.lifted_at IS null;

-- name: read_parts
-- The noisy counts of a release.
SELECT
    agent,
    part
FROM release_parts
WHERE release_id = $1
ORDER BY agent;

-- name: mark_sent
-- Say that the team's server has a release.
UPDATE team_releases SET sent_at = clock_timestamp()
WHERE release_id = $1;

-- name: withdraw_release
-- Say that a release will not be sent any more, and why; whether it may have arrived all the same.
UPDATE team_releases SET withdrawn_at = clock_timestamp(), withdrawn_because = $2
WHERE release_id = $1
RETURNING delivery_began_at IS NOT null AS may_have_arrived;

-- name: delete_parts
-- Forget the noisy counts of a release that was withdrawn.
DELETE FROM release_parts
WHERE release_id = $1;

-- name: free_chunks
-- Let other releases take what a withdrawn one was made of.
DELETE FROM released_chunks
WHERE release_id = $1;

-- name: reopen_chunks
-- Keep chunks at hand that may hold steps of tasks a withdrawn release frees; the next release closes others.
UPDATE released_chunks SET closed_by = null
WHERE
    closed_by IN (
        SELECT later.release_id
        FROM team_releases AS withdrawn
        INNER JOIN team_releases AS later ON withdrawn.made_at <= later.made_at
        WHERE withdrawn.release_id = $1
    );

-- name: read_sent_parts
-- The noisy counts of one agent under one contract that the team's server has, or may have.
SELECT parts.part
FROM release_parts AS parts
INNER JOIN team_releases AS releases ON parts.release_id = releases.release_id
WHERE parts.agent = $1 AND parts.fingerprint = $2 AND releases.delivery_began_at IS NOT null
ORDER BY releases.made_at, releases.release_id;
