-- The team's server. Every database has these tables; only a founded one (team.found) lets members in.

CREATE SCHEMA team;

CREATE TABLE team.identity (
    is_only bool PRIMARY KEY DEFAULT true,
    team_key text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12),
    name text NOT NULL,
    founded_at timestamptz NOT NULL DEFAULT now(),
    built_at timestamptz,
    CONSTRAINT identity_is_one CHECK (is_only),
    CONSTRAINT identity_key_is_short CHECK (team_key ~ '^[0-9a-f]{12}$'),
    CONSTRAINT identity_is_named CHECK (name <> '')
);

COMMENT ON TABLE team.identity IS 'The team this database serves; empty until it is founded.';
COMMENT ON COLUMN team.identity.is_only IS 'There is one row.';
COMMENT ON COLUMN team.identity.team_key IS 'Part of the names of its roles, which a whole server shares.';
COMMENT ON COLUMN team.identity.name IS 'For people.';
COMMENT ON COLUMN team.identity.founded_at IS 'When.';
COMMENT ON COLUMN team.identity.built_at IS 'When a build last ended; its row is the lock of builds.';

CREATE TABLE team.members (
    member_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    login name UNIQUE,
    invited_at timestamptz NOT NULL DEFAULT now(),
    last_submitted_at timestamptz,
    CONSTRAINT members_are_named CHECK (name ~ '^[[:alnum:]][[:alnum:] ._@+-]{0,99}$')
);

COMMENT ON TABLE team.members IS 'Who contributes: a developer''s machine or a runner.';
COMMENT ON COLUMN team.members.member_id IS 'Key; the same person keeps it over invitations.';
COMMENT ON COLUMN team.members.name IS 'As invited; known to the curator only.';
COMMENT ON COLUMN team.members.login IS 'The role, which tells nothing; null once revoked.';
COMMENT ON COLUMN team.members.invited_at IS 'When last.';
COMMENT ON COLUMN team.members.last_submitted_at IS 'When something new last came.';

CREATE TABLE team.agents (
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    state_count int NOT NULL,
    action_count int NOT NULL,
    part_count int NOT NULL,
    is_current bool NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, fingerprint),
    CONSTRAINT agents_have_cells CHECK (state_count > 0 AND action_count > 0 AND part_count > 0)
);

CREATE UNIQUE INDEX agents_current ON team.agents (agent) WHERE is_current;

COMMENT ON TABLE team.agents IS 'Agents whose contributions are taken, under each contract there was.';
COMMENT ON COLUMN team.agents.agent IS 'Name.';
COMMENT ON COLUMN team.agents.fingerprint IS 'Of the contract.';
COMMENT ON COLUMN team.agents.state_count IS 'States of its public space.';
COMMENT ON COLUMN team.agents.action_count IS 'Actions.';
COMMENT ON COLUMN team.agents.part_count IS 'Moving parts of its states.';
COMMENT ON COLUMN team.agents.is_current IS 'Whether builds use this contract.';
COMMENT ON COLUMN team.agents.registered_at IS 'When.';

CREATE TABLE team.releases (
    release_id uuid PRIMARY KEY,
    member_id int NOT NULL REFERENCES team.members,
    header jsonb NOT NULL,
    digest bytea NOT NULL,
    bytes int NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX releases_of_member ON team.releases (member_id, received_at);

COMMENT ON TABLE team.releases IS 'What members sent: the header, once for all agents.';
COMMENT ON COLUMN team.releases.release_id IS 'Chosen by the contributor''s machine.';
COMMENT ON COLUMN team.releases.member_id IS 'Whose login sent it.';
COMMENT ON COLUMN team.releases.header IS 'As sent; its form was checked.';
COMMENT ON COLUMN team.releases.digest IS 'SHA-256 over header and parts.';
COMMENT ON COLUMN team.releases.bytes IS 'Size of all parts.';
COMMENT ON COLUMN team.releases.received_at IS 'When.';

CREATE TABLE team.contributions (
    release_id uuid NOT NULL REFERENCES team.releases,
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    part bytea NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (release_id, agent),
    FOREIGN KEY (agent, fingerprint) REFERENCES team.agents,
    CONSTRAINT contributions_are_new UNIQUE (agent, digest)
);

-- They are compressed already.
ALTER TABLE team.contributions ALTER COLUMN part SET STORAGE EXTERNAL;

COMMENT ON TABLE team.contributions IS 'The noisy counts of a release, one agent each.';
COMMENT ON COLUMN team.contributions.release_id IS 'The release.';
COMMENT ON COLUMN team.contributions.agent IS 'Whose counts.';
COMMENT ON COLUMN team.contributions.fingerprint IS 'Of the contract they were counted under.';
COMMENT ON COLUMN team.contributions.part IS 'As sent.';
COMMENT ON COLUMN team.contributions.digest IS 'SHA-256 of it: the same noise never counts twice.';

CREATE TABLE team.set_aside (
    release_id uuid NOT NULL,
    agent text COLLATE "C" NOT NULL,
    why text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release_id, agent),
    FOREIGN KEY (release_id, agent) REFERENCES team.contributions,
    CONSTRAINT set_aside_says_why CHECK (why <> '')
);

COMMENT ON TABLE team.set_aside IS 'Contributions that no build uses, and why.';
COMMENT ON COLUMN team.set_aside.release_id IS 'The release.';
COMMENT ON COLUMN team.set_aside.agent IS 'The agent.';
COMMENT ON COLUMN team.set_aside.why IS 'In words.';
COMMENT ON COLUMN team.set_aside.set_aside_at IS 'When.';

CREATE TABLE team.tables (
    agent text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    digest bytea NOT NULL,
    contributors int NOT NULL,
    lineage jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, version),
    FOREIGN KEY (agent, fingerprint) REFERENCES team.agents,
    CONSTRAINT tables_are_counted CHECK (version > 0 AND contributors > 0)
);

ALTER TABLE team.tables ALTER COLUMN content SET STORAGE EXTERNAL;

COMMENT ON TABLE team.tables IS 'What was published; everyone pulls the newest version.';
COMMENT ON COLUMN team.tables.agent IS 'Whose table.';
COMMENT ON COLUMN team.tables.version IS 'Counts from 1.';
COMMENT ON COLUMN team.tables.fingerprint IS 'Of the contract it is for.';
COMMENT ON COLUMN team.tables.content IS 'Values, visits, errors and reported visits, packed.';
COMMENT ON COLUMN team.tables.digest IS 'SHA-256 of what was packed.';
COMMENT ON COLUMN team.tables.contributors IS 'How many it rests on.';
COMMENT ON COLUMN team.tables.lineage IS 'The releases it rests on and the settings; no names.';
COMMENT ON COLUMN team.tables.published_at IS 'When.';

CREATE TABLE team.log (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    by text NOT NULL,
    details jsonb NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT log_says_what CHECK (kind <> '' AND by <> '')
);

CREATE TRIGGER log_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON team.log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER releases_are_kept BEFORE UPDATE ON team.releases
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER contributions_are_kept BEFORE UPDATE ON team.contributions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER tables_are_kept BEFORE UPDATE ON team.tables
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE team.log IS 'What the curator did.';
COMMENT ON COLUMN team.log.entry_id IS 'Key, in order.';
COMMENT ON COLUMN team.log.kind IS 'What was done.';
COMMENT ON COLUMN team.log.by IS 'Who.';
COMMENT ON COLUMN team.log.details IS 'With what.';
COMMENT ON COLUMN team.log.happened_at IS 'When.';

-- ---------------------------------------------------------------------------------------------------------
-- What members may call. All else is closed to them; who calls is the session's login, never a parameter.

CREATE FUNCTION team.acting_member() RETURNS int
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id int;
BEGIN
    SELECT member_id INTO found_id FROM team.members WHERE login = session_user;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this login belongs to no member of the team; ask its curator for an invitation'
            USING ERRCODE = 'QE010';
    END IF;
    RETURN found_id;
END;
$$;

COMMENT ON FUNCTION team.acting_member() IS 'The member whose login this session has.';

CREATE FUNCTION team.hello() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM team.acting_member();
    RETURN (
        SELECT jsonb_build_object(
            'protocol', 1,
            'name', name,
            'members', (SELECT count(*) FROM team.members WHERE login IS NOT NULL),
            'agents', coalesce(
                (SELECT jsonb_object_agg(agent, fingerprint) FROM team.agents WHERE is_current), '{}'
            )
        )
        FROM team.identity
    );
END;
$$;

COMMENT ON FUNCTION team.hello() IS 'Protocol, the team''s name and size, and the agents it learns about.';

CREATE FUNCTION team.is_number(given jsonb, lowest numeric, highest numeric, is_whole bool) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN jsonb_typeof(given) IS DISTINCT FROM 'number' THEN false
        WHEN is_whole AND given::numeric <> trunc(given::numeric) THEN false
        ELSE given::numeric BETWEEN lowest AND highest
    END
$$;

COMMENT ON FUNCTION team.is_number(jsonb, numeric, numeric, bool) IS 'Whether a value lies within bounds.';

CREATE FUNCTION team.is_text(given jsonb, pattern text) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_typeof(given) = 'string' AND given #>> '{}' ~ pattern, false)
$$;

COMMENT ON FUNCTION team.is_text(jsonb, text) IS 'Whether a value is text of a form.';

CREATE FUNCTION team.header_fault(header jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN jsonb_typeof(header) <> 'object' THEN 'it is no object'
        WHEN (SELECT array_agg(key ORDER BY key COLLATE "C") FROM jsonb_object_keys(header) AS key)
            IS DISTINCT FROM ARRAY[
                'agents', 'clip_bound', 'made_on', 'nano_rho', 'origin', 'pairs', 'privacy_delta',
                'privacy_epsilon', 'protected_unit', 'release_id', 'wire_format'
            ]
            THEN 'its fields are not those of a release'
        WHEN header -> 'wire_format' <> '1' THEN 'its wire_format is not 1; upgrade the older side'
        WHEN NOT team.is_text(header -> 'release_id', '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
            THEN 'release_id is no UUID'
        WHEN NOT team.is_text(header -> 'origin', '^[0-9a-f]{32}$') THEN 'origin is no pseudonym'
        WHEN NOT team.is_text(header -> 'made_on', '^20[0-9]{2}-[0-9]{2}-[0-9]{2}$') THEN 'made_on is no day'
        WHEN (header ->> 'made_on')::date > (now() AT TIME ZONE 'UTC')::date + 1
            THEN 'made_on lies in the future; check the clock of the machine it comes from'
        WHEN NOT team.is_text(header -> 'protected_unit', '^(task|developer)$')
            THEN 'protected_unit is unknown'
        WHEN NOT team.is_number(header -> 'pairs', 1, 100000, true) THEN 'pairs is not within 1 to 100000'
        WHEN NOT team.is_number(header -> 'clip_bound', 0.01, 100, false)
            THEN 'clip_bound is not within 0.01 to 100'
        WHEN NOT team.is_number(header -> 'privacy_epsilon', 1e-6, 50, false)
            THEN 'privacy_epsilon is not within 0 to 50'
        WHEN NOT team.is_number(header -> 'privacy_delta', 1e-300, 1e-3, false)
            THEN 'privacy_delta is not within 0 to 0.001'
        WHEN NOT team.is_number(header -> 'nano_rho', 1, 1e12, true) THEN 'nano_rho is not positive'
        WHEN jsonb_typeof(header -> 'agents') <> 'array' THEN 'it names no agents'
        WHEN jsonb_array_length(header -> 'agents') NOT BETWEEN 1 AND 64
            THEN 'it does not name 1 to 64 agents'
        WHEN EXISTS (
            SELECT FROM jsonb_array_elements(header -> 'agents') AS pair
            WHERE CASE
                WHEN jsonb_typeof(pair) <> 'array' THEN true
                ELSE jsonb_array_length(pair) <> 2
                    OR jsonb_typeof(pair -> 0) <> 'string'
                    OR jsonb_typeof(pair -> 1) <> 'string'
            END
        )
            THEN 'its agents are not pairs of name and fingerprint'
    END
$$;

COMMENT ON FUNCTION team.header_fault(jsonb) IS 'What is wrong with a header; null where nothing is.';

CREATE FUNCTION team.submit(header_text text, parts bytea[]) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sender int := team.acting_member();
    header jsonb;
    fault text;
    release uuid;
    names text[];
    fingerprints text[];
    whole bytea;
    size bigint;
    earlier record;
    today record;
BEGIN
    IF octet_length(header_text) > 16384 THEN
        RAISE EXCEPTION 'the header has more than 16,384 bytes' USING ERRCODE = 'QE008';
    END IF;
    BEGIN
        header := header_text::jsonb;
        fault := coalesce(team.header_fault(header), '');
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        fault := 'it cannot be read';
    END;
    IF fault IS DISTINCT FROM '' THEN
        RAISE EXCEPTION 'the header of the release is refused: %', coalesce(fault, 'it is empty')
            USING ERRCODE = 'QE008';
    END IF;
    release := (header ->> 'release_id')::uuid;
    SELECT array_agg(pair ->> 0 ORDER BY place), array_agg(pair ->> 1 ORDER BY place)
    INTO names, fingerprints
    FROM jsonb_array_elements(header -> 'agents') WITH ORDINALITY AS listed (pair, place);
    SELECT string_agg(claimed.agent, ', ') INTO fault
    FROM unnest(names, fingerprints) AS claimed (agent, fingerprint)
    WHERE NOT EXISTS (
        SELECT FROM team.agents AS known
        WHERE known.agent = claimed.agent AND known.fingerprint = claimed.fingerprint
    );
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'the team does not learn about % under this contract; '
            'the server must be upgraded and its agents registered first', left(fault, 1000)
            USING ERRCODE = 'QE011';
    END IF;
    IF (SELECT count(DISTINCT agent) FROM unnest(names) AS agent) <> cardinality(names) THEN
        RAISE EXCEPTION 'the release names an agent twice' USING ERRCODE = 'QE008';
    END IF;
    IF parts IS NULL OR cardinality(parts) <> cardinality(names) OR array_ndims(parts) <> 1
        OR array_position(parts, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'the release has not one part for each of its agents' USING ERRCODE = 'QE008';
    END IF;
    SELECT sum(octet_length(part)), string_agg(sha256(part), '' ORDER BY place)
    INTO size, whole
    FROM unnest(parts) WITH ORDINALITY AS listed (part, place);
    IF (SELECT max(octet_length(part)) FROM unnest(parts) AS part) > 1048576 THEN
        RAISE EXCEPTION 'a part of the release has more than 1,048,576 bytes' USING ERRCODE = 'QE008';
    END IF;
    whole := sha256(sha256(convert_to(header::text, 'UTF8')) || whole);
    -- One release of a member after the other: limits are counted, and repeats recognised, exactly.
    PERFORM FROM team.members WHERE member_id = sender FOR NO KEY UPDATE;
    SELECT member_id, digest INTO earlier FROM team.releases WHERE release_id = release;
    IF FOUND THEN
        IF earlier.member_id <> sender OR earlier.digest <> whole THEN
            RAISE EXCEPTION 'release % came before with other content; nothing was changed', release
                USING ERRCODE = 'QE008';
        END IF;
        RETURN false;
    END IF;
    SELECT count(*) AS releases, coalesce(sum(bytes), 0) AS bytes INTO today
    FROM team.releases
    WHERE member_id = sender AND received_at > now() - interval '1 day';
    IF today.releases >= 100 OR today.bytes + size > 268435456 THEN
        RAISE EXCEPTION 'a member may send 100 releases and 268,435,456 bytes a day; try again tomorrow'
            USING ERRCODE = 'QE009';
    END IF;
    BEGIN
        INSERT INTO team.releases (release_id, member_id, header, digest, bytes)
        VALUES (release, sender, header, whole, size);
        INSERT INTO team.contributions (release_id, agent, fingerprint, part, digest)
        SELECT release, agent, fingerprint, part, sha256(part)
        FROM unnest(names, fingerprints, parts) AS listed (agent, fingerprint, part);
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'release % or a part of it came before in another release; nothing was stored',
            release USING ERRCODE = 'QE008';
    END;
    UPDATE team.members SET last_submitted_at = now() WHERE member_id = sender;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION team.submit(text, bytea[]) IS 'Take a release; false where it is here already.';

CREATE FUNCTION team.newest(known_agents text[], known_versions bigint[])
RETURNS TABLE (
    agent text, version bigint, fingerprint text, states int, actions int, content bytea, contributors int,
    published_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM team.acting_member();
    RETURN QUERY
    SELECT
        published.agent, published.version, published.fingerprint, about.state_count, about.action_count,
        published.content, published.contributors, published.published_at
    FROM team.agents AS about
    INNER JOIN LATERAL (
        SELECT * FROM team.tables AS of_agent
        WHERE of_agent.agent = about.agent AND of_agent.fingerprint = about.fingerprint
        ORDER BY of_agent.version DESC
        LIMIT 1
    ) AS published ON true
    LEFT JOIN unnest(known_agents, known_versions) AS known (agent, version) ON known.agent = about.agent
    WHERE about.is_current AND published.version > coalesce(known.version, 0)
    ORDER BY published.agent;
END;
$$;

COMMENT ON FUNCTION team.newest(text[], bigint[]) IS 'Published tables newer than the versions known.';

CREATE FUNCTION team.own_releases() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sender int := team.acting_member();
BEGIN
    RETURN QUERY
    SELECT release_id FROM team.releases WHERE member_id = sender ORDER BY received_at, release_id;
END;
$$;

COMMENT ON FUNCTION team.own_releases() IS 'The numbers of what the caller sent, oldest first.';

-- ---------------------------------------------------------------------------------------------------------
-- Founding, inviting, revoking: run with the rights of the database's owner.

CREATE FUNCTION team.role_name(part text) RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ('qe_team_' || team_key || '_' || part)::name FROM team.identity
$$;

COMMENT ON FUNCTION team.role_name(text) IS 'The name of one of the team''s roles.';

CREATE FUNCTION team.member_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
    ('team.hello()'::regprocedure),
    ('team.submit(text, bytea[])'::regprocedure),
    ('team.newest(text[], bigint[])'::regprocedure),
    ('team.own_releases()'::regprocedure)
$$;

COMMENT ON FUNCTION team.member_functions() IS 'All that members may call.';

CREATE FUNCTION team.closed_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT oid::regprocedure FROM pg_proc
    WHERE
        pronamespace = 'pg_catalog'::regnamespace
        AND (
            proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_import', 'lowrite', 'lo_open')
            OR proname ~ '^pg_(try_)?advisory_(xact_)?lock'
            OR proname = 'pg_notify'
        )
$$;

COMMENT ON FUNCTION team.closed_functions() IS 'What PostgreSQL lets everybody call and members must not.';

CREATE FUNCTION team.found(called text) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_new bool;
    part text;
    callable regprocedure;
    functions_owner name;
    member name;
    curator name;
    product_owner name := (SELECT relowner::regrole FROM pg_class WHERE oid = 'team.identity'::regclass);
BEGIN
    INSERT INTO team.identity (name) VALUES (called) ON CONFLICT (is_only) DO NOTHING;
    is_new := FOUND;
    functions_owner := team.role_name('owner');
    member := team.role_name('member');
    curator := team.role_name('curator');
    FOREACH part IN ARRAY ARRAY['owner', 'member', 'curator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = team.role_name(part)) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', team.role_name(part));
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, functions_owner, 'USAGE') THEN
        EXECUTE format('GRANT %I TO %I', functions_owner, current_user);
    END IF;
    -- Nothing for everybody.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    REVOKE ALL ON SCHEMA team FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA team FROM PUBLIC;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA team FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR callable IN SELECT team.closed_functions() LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', callable);
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I, %I', callable, product_owner, curator);
        END LOOP;
    END IF;
    -- The functions' owner: what they need, and not to read a contribution.
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA team TO %I', functions_owner);
    EXECUTE format(
        'GRANT SELECT ON team.identity, team.members, team.agents, team.tables TO %I', functions_owner
    );
    EXECUTE format(
        'GRANT SELECT (release_id, member_id, digest, bytes, received_at), '
        'INSERT (release_id, member_id, header, digest, bytes) ON team.releases TO %I', functions_owner
    );
    EXECUTE format(
        'GRANT INSERT (release_id, agent, fingerprint, part, digest) ON team.contributions TO %I',
        functions_owner
    );
    EXECUTE format('GRANT UPDATE (last_submitted_at) ON team.members TO %I', functions_owner);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION team.acting_member(), team.header_fault(jsonb), '
        'team.is_number(jsonb, numeric, numeric, bool), team.is_text(jsonb, text) TO %I', functions_owner
    );
    -- Members: these functions and no more.
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I, %I', current_database(), member, curator);
    EXECUTE format('GRANT USAGE ON SCHEMA team TO %I, %I', member, curator);
    FOR callable IN SELECT team.member_functions() LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', callable, functions_owner);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', callable);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, member);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA team FROM %I', functions_owner);
    -- Curators: reading what came, publishing what was built.
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', curator);
    EXECUTE format('GRANT SELECT ON public.alembic_version TO %I', curator);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA team TO %I', curator);
    EXECUTE format('GRANT INSERT ON team.agents, team.set_aside, team.tables, team.log TO %I', curator);
    EXECUTE format('GRANT UPDATE ON team.agents TO %I', curator);
    EXECUTE format('GRANT UPDATE (built_at) ON team.identity TO %I', curator);
    RETURN is_new;
END;
$$;

COMMENT ON FUNCTION team.found(text) IS 'Create the team''s roles and close everything else; safe to repeat.';

CREATE FUNCTION team.close_other_databases() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    other name;
BEGIN
    FOR other IN
        SELECT datname FROM pg_database
        WHERE
            datname <> current_database() AND datallowconn
            AND has_database_privilege(team.role_name('member'), oid, 'CONNECT')
    LOOP
        EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', other);
    END LOOP;
END;
$$;

COMMENT ON FUNCTION team.close_other_databases() IS 'Let nobody connect elsewhere on this server by default.';

CREATE FUNCTION team.openings() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('members can connect to the database %I', datname)
    FROM pg_database
    WHERE
        datname <> current_database() AND datallowconn
        AND has_database_privilege(team.role_name('member'), oid, 'CONNECT')
    UNION ALL
    SELECT format('members can create objects in the schema %I', nspname)
    FROM pg_namespace
    WHERE has_schema_privilege(team.role_name('member'), oid, 'CREATE')
    UNION ALL
    SELECT 'members can create temporary tables'
    WHERE has_database_privilege(team.role_name('member'), current_database(), 'TEMPORARY')
    UNION ALL
    SELECT 'members can create large objects, take advisory locks or send notifications'
    WHERE EXISTS (
        SELECT FROM team.closed_functions() AS closed (callable)
        WHERE has_function_privilege(team.role_name('member'), callable, 'EXECUTE')
    )
    ORDER BY 1
$$;

COMMENT ON FUNCTION team.openings() IS 'What founding could not close, because this login may not.';

CREATE FUNCTION team.invite(called text, verifier text) RETURNS name
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen name := team.role_name(left(replace(gen_random_uuid()::text, '-', ''), 12));
BEGIN
    IF chosen IS NULL THEN
        RAISE EXCEPTION 'no team was founded in this database yet; run: qe team found'
            USING ERRCODE = 'QE010';
    END IF;
    INSERT INTO team.members (name, login) VALUES (called, chosen)
    ON CONFLICT (name) DO UPDATE SET login = chosen, invited_at = now() WHERE members.login IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is a member already; to give a new login, revoke the old one first', called
            USING ERRCODE = 'QE010';
    END IF;
    EXECUTE format(
        'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 4 '
        'PASSWORD %L',
        chosen, verifier
    );
    EXECUTE format('GRANT %I TO %I', team.role_name('member'), chosen);
    -- To end the sessions of a login one must hold its rights.
    IF NOT pg_has_role(current_user, chosen, 'USAGE') THEN
        EXECUTE format('GRANT %I TO %I', chosen, current_user);
    END IF;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('ALTER ROLE %I SET temp_file_limit = ''64MB''', chosen);
    END IF;
    RETURN chosen;
END;
$$;

COMMENT ON FUNCTION team.invite(text, text) IS 'Create a login for a member; the verifier is no password.';

CREATE FUNCTION team.close_login(called text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Without a lock on the row: a session of the member may hold one for as long as it likes.
    ended name := (SELECT login FROM team.members WHERE name = called);
BEGIN
    IF ended IS NULL THEN
        RAISE EXCEPTION 'no member is called %; see: qe team members', called USING ERRCODE = 'QE010';
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = ended) THEN
        EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', ended);
        EXECUTE format('REVOKE %I FROM %I', team.role_name('member'), ended);
    END IF;
END;
$$;

COMMENT ON FUNCTION team.close_login(text) IS 'Let a member in no more; its sessions still have to be ended.';

CREATE FUNCTION team.drop_closed_logins() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended name;
BEGIN
    FOR ended IN
        SELECT rolname FROM pg_roles
        WHERE NOT rolcanlogin AND rolname ~ ('^' || team.role_name('[0-9a-f]{12}') || '$')
    LOOP
        PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ended;
        BEGIN
            EXECUTE format('DROP ROLE %I', ended);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            -- It made something in another database that was open to it. It stays, without login or rights.
            RAISE WARNING 'role % owns objects in another database and is left behind without login', ended;
        END;
    END LOOP;
    UPDATE team.members SET login = NULL
    WHERE
        login IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login AND rolcanlogin);
END;
$$;

COMMENT ON FUNCTION team.drop_closed_logins() IS 'End the sessions of closed logins, and remove them.';

-- What PostgreSQL lets everybody do by default; founding grants members what is theirs.
REVOKE ALL ON ALL ROUTINES IN SCHEMA team FROM public;
