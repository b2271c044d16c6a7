-- name: team_hello
-- Protocol, name and agents of the team, for a member.
SELECT team.hello();

-- name: team_submit
-- Hand a release in; false where it is there already.
SELECT team.submit($1::text, $2::bytea[]);

-- name: team_newest
-- Published tables newer than those known.
SELECT
    agent,
    version,
    fingerprint,
    states,
    actions,
    content,
    contributors,
    published_at
FROM team.newest($1::text[], $2::bigint[]);

-- name: team_own_releases
-- What this member sent, oldest first.
SELECT sent.release_id FROM team.own_releases() AS sent (release_id);

-- name: team_found
-- Create the team's roles and close everything else; whether the team is new.
SELECT team.found($1::text);

-- name: team_close_other_databases
-- Let nobody connect to other databases of the server by default.
SELECT team.close_other_databases();

-- name: team_openings
-- What founding could not close.
SELECT found.opening FROM team.openings() AS found (opening);

-- name: team_invite
-- Create a login for a member; its name.
SELECT team.invite($1::text, $2::text);

-- name: team_close_login
-- Let a member in no more.
SELECT team.close_login($1::text);

-- name: team_drop_closed_logins
-- End the sessions of closed logins and remove them.
SELECT team.drop_closed_logins();

-- name: team_retire_agents
-- Use only these contracts from now on.
UPDATE team.agents AS about SET is_current = false
WHERE
    about.is_current
    AND NOT EXISTS (
        SELECT FROM unnest($1::text[], $2::text[]) AS kept (agent, fingerprint)
        WHERE kept.agent = about.agent AND kept.fingerprint = about.fingerprint
    )
RETURNING about.agent;

-- name: team_register_agents
-- Take contributions about agents under these contracts; those that are new or changed.
INSERT INTO team.agents AS about (agent, fingerprint, state_count, action_count, part_count, is_current)
SELECT
    given.agent,
    given.fingerprint,
    given.state_count,
    given.action_count,
    given.part_count,
    true AS is_current
FROM
    unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::int[])
        AS given (agent, fingerprint, state_count, action_count, part_count)
ON CONFLICT (agent, fingerprint) DO UPDATE
    SET
        state_count = excluded.state_count,
        action_count = excluded.action_count,
        part_count = excluded.part_count,
        is_current = true
    WHERE NOT about.is_current OR about.part_count <> excluded.part_count
RETURNING about.agent;

-- name: team_members
-- Who was invited, and what came from each.
SELECT
    members.member_id,
    members.name,
    members.login IS NOT null AS is_active,
    members.invited_at,
    members.last_submitted_at,
    count(sent.release_id)::bigint AS releases,
    coalesce(sum(sent.bytes), 0)::bigint AS bytes
FROM team.members AS members
LEFT JOIN team.releases AS sent ON members.member_id = sent.member_id
GROUP BY members.member_id
ORDER BY members.name;

-- name: team_contributions
-- What is counted about an agent under its present contract, member by member.
SELECT
    given.release_id,
    sent.member_id,
    sent.header::text AS header,
    given.part
FROM team.contributions AS given
INNER JOIN team.agents AS about
    ON given.agent = about.agent AND given.fingerprint = about.fingerprint AND about.is_current
INNER JOIN team.releases AS sent ON given.release_id = sent.release_id
LEFT JOIN team.set_aside AS aside ON given.release_id = aside.release_id AND given.agent = aside.agent
WHERE given.agent = $1 AND aside.release_id IS null
ORDER BY sent.member_id, given.release_id;

-- name: team_set_aside
-- Leave a contribution out of every build; whether it was not before.
INSERT INTO team.set_aside (release_id, agent, why)
SELECT
    given.release_id,
    given.agent,
    $3 AS why
FROM team.contributions AS given
WHERE given.release_id = $1 AND given.agent = $2
ON CONFLICT (release_id, agent) DO NOTHING
RETURNING release_id;

-- name: team_set_member_aside
-- Leave all that a member sent out of every build.
INSERT INTO team.set_aside (release_id, agent, why)
SELECT
    given.release_id,
    given.agent,
    $2 AS why
FROM team.contributions AS given
INNER JOIN team.releases AS sent ON given.release_id = sent.release_id
INNER JOIN team.members AS members ON sent.member_id = members.member_id
WHERE members.name = $1
ON CONFLICT (release_id, agent) DO NOTHING
RETURNING release_id;

-- name: team_all_set_aside
-- What no build uses, and why; the latest first.
SELECT
    release_id,
    agent,
    why,
    set_aside_at
FROM team.set_aside
ORDER BY set_aside_at DESC, release_id DESC, agent DESC;

-- name: team_publish
-- Publish a table.
INSERT INTO team.tables (agent, version, fingerprint, content, digest, contributors, lineage)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb);

-- name: team_newest_version
-- An agent's newest table, by digest.
SELECT
    version,
    fingerprint,
    digest
FROM team.tables
WHERE agent = $1
ORDER BY version DESC
LIMIT 1;

-- name: team_publications
-- Every table that was published, without its content; the newest first.
SELECT
    agent,
    version,
    fingerprint,
    contributors,
    lineage::text AS lineage,
    published_at
FROM team.tables
ORDER BY published_at DESC, agent DESC, version DESC;

-- name: team_begin_build
-- Wait until no other build runs, and keep others out until the transaction ends.
UPDATE team.identity SET built_at = clock_timestamp()
RETURNING name;

-- name: team_identity
-- The team of this database.
SELECT
    name,
    team_key,
    founded_at,
    built_at
FROM team.identity;

-- name: team_add_log
-- Keep what the curator did.
INSERT INTO team.log (kind, by, details) VALUES ($1, $2, $3::jsonb);

-- name: team_log
-- What the curator did, the latest first.
SELECT
    entry_id,
    kind,
    by,
    details::text AS details,
    happened_at
FROM team.log
ORDER BY entry_id DESC
LIMIT $1;
