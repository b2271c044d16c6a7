-- Team learning on this machine: who does not take part, what was released at what price, what came back.

CREATE TABLE local_database (
    is_only bool PRIMARY KEY DEFAULT true,
    database_id uuid NOT NULL DEFAULT gen_random_uuid(),
    opt_out_generation bigint NOT NULL DEFAULT 0,
    CONSTRAINT local_database_is_one_row CHECK (is_only),
    CONSTRAINT local_database_counts_up CHECK (opt_out_generation >= 0)
);

INSERT INTO local_database DEFAULT VALUES;

COMMENT ON TABLE local_database IS 'What there is once in a database: one row.';
COMMENT ON COLUMN local_database.is_only IS 'Key: always true.';
COMMENT ON COLUMN local_database.database_id IS 'Random; leaves this machine only as a keyed pseudonym.';
COMMENT ON COLUMN local_database.opt_out_generation IS 'Raised by every opt-out and every return from one.';

-- ---------------------------------------------------------------------------------------------------------
-- Who does not take part.

CREATE TABLE opt_outs (
    opt_out_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    opted_out_by text NOT NULL,
    opted_out_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_by text,
    lifted_at timestamptz,
    CONSTRAINT opt_outs_kind_is_known CHECK (kind IN ('developer', 'project', 'agent', 'database')),
    CONSTRAINT opt_outs_words_are_given CHECK (subject <> '' AND opted_out_by <> '' AND lifted_by <> ''),
    CONSTRAINT opt_outs_are_lifted_by_somebody CHECK ((lifted_by IS null) = (lifted_at IS null))
);

CREATE UNIQUE INDEX opt_outs_now ON opt_outs (kind, subject) WHERE lifted_at IS null;

COMMENT ON TABLE opt_outs IS 'Whose experiences are not shared, now and in the past.';
COMMENT ON COLUMN opt_outs.opt_out_id IS 'Key, in order.';
COMMENT ON COLUMN opt_outs.kind IS 'developer, project, agent or database.';
COMMENT ON COLUMN opt_outs.subject IS 'A keyed pseudonym, an agent''s name, or the word database.';
COMMENT ON COLUMN opt_outs.generation IS 'What its last change raised opt_out_generation to.';
COMMENT ON COLUMN opt_outs.opted_out_by IS 'Who said so.';
COMMENT ON COLUMN opt_outs.opted_out_at IS 'When.';
COMMENT ON COLUMN opt_outs.lifted_by IS 'Who took it back; null while it holds.';
COMMENT ON COLUMN opt_outs.lifted_at IS 'When it was taken back.';

CREATE TABLE withheld_chunks (
    chunk_id bigint PRIMARY KEY,
    opt_out_id bigint NOT NULL REFERENCES opt_outs
);

CREATE TRIGGER withheld_chunks_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON withheld_chunks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE withheld_chunks IS 'Chunks that stay unshared although the opt-out was lifted.';
COMMENT ON COLUMN withheld_chunks.chunk_id IS 'As in experience_chunks.';
COMMENT ON COLUMN withheld_chunks.opt_out_id IS 'The opt-out that held when they arrived, or later.';

CREATE FUNCTION raise_opt_out_generation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE local_database SET opt_out_generation = opt_out_generation + 1
    RETURNING opt_out_generation INTO NEW.generation;
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION raise_opt_out_generation() IS 'Let every running release notice that opt-outs changed.';

CREATE TRIGGER opt_outs_are_noticed BEFORE INSERT OR UPDATE OF lifted_at ON opt_outs
FOR EACH ROW EXECUTE FUNCTION raise_opt_out_generation();

CREATE TRIGGER opt_outs_are_kept BEFORE DELETE OR TRUNCATE ON opt_outs
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------------------------------------------------
-- What was released: pending until it is sent or withdrawn.

CREATE TABLE team_releases (
    release_id uuid PRIMARY KEY,
    header jsonb NOT NULL,
    nano_rho bigint NOT NULL,
    opt_out_generation bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivery_began_at timestamptz,
    sent_at timestamptz,
    withdrawn_at timestamptz,
    withdrawn_because text,
    UNIQUE (release_id, nano_rho),
    CONSTRAINT releases_are_what_their_header_says CHECK (
        (header ->> 'release_id')::uuid = release_id AND (header ->> 'nano_rho')::bigint = nano_rho
    ),
    CONSTRAINT releases_are_sent_or_withdrawn CHECK (num_nonnulls(sent_at, withdrawn_at) <= 1),
    CONSTRAINT releases_are_delivered_before_they_are_sent CHECK (
        sent_at IS null OR delivery_began_at IS NOT null
    ),
    CONSTRAINT releases_are_withdrawn_for_a_reason CHECK (
        (withdrawn_at IS null) = (withdrawn_because IS null) AND withdrawn_because <> ''
    )
);

COMMENT ON TABLE team_releases IS 'Every release: pending, sent to the team, or withdrawn.';
COMMENT ON COLUMN team_releases.release_id IS 'Random; the same wherever the release goes.';
COMMENT ON COLUMN team_releases.header IS 'All that leaves besides the noisy counts.';
COMMENT ON COLUMN team_releases.nano_rho IS 'What it costs in privacy (zCDP), billionths.';
COMMENT ON COLUMN team_releases.opt_out_generation IS 'The opt-outs it respects.';
COMMENT ON COLUMN team_releases.made_at IS 'When it was made and debited.';
COMMENT ON COLUMN team_releases.delivery_began_at IS 'From then on it may have arrived.';
COMMENT ON COLUMN team_releases.sent_at IS 'When the team''s server had it; null before.';
COMMENT ON COLUMN team_releases.withdrawn_at IS 'When it was withdrawn, if it was.';
COMMENT ON COLUMN team_releases.withdrawn_because IS 'Why it was withdrawn.';

CREATE TABLE release_parts (
    release_id uuid NOT NULL REFERENCES team_releases,
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    part bytea NOT NULL,
    PRIMARY KEY (release_id, agent),
    CONSTRAINT parts_are_given CHECK (agent <> '' AND fingerprint <> '' AND octet_length(part) > 0)
);

-- Noise does not shrink.
ALTER TABLE release_parts ALTER COLUMN part SET STORAGE EXTERNAL;

COMMENT ON TABLE release_parts IS 'Noisy counts as they leave: sent again they are the same bytes.';
COMMENT ON COLUMN release_parts.release_id IS 'The release.';
COMMENT ON COLUMN release_parts.agent IS 'Whose counts.';
COMMENT ON COLUMN release_parts.fingerprint IS 'The contract they are counted under.';
COMMENT ON COLUMN release_parts.part IS 'The counts, encoded.';

CREATE TABLE released_chunks (
    chunk_id bigint PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    release_id uuid NOT NULL REFERENCES team_releases,
    closed_by uuid REFERENCES team_releases
);

CREATE INDEX released_chunks_of_release ON released_chunks (release_id);
CREATE INDEX released_chunks_closed_by ON released_chunks (closed_by);

COMMENT ON TABLE released_chunks IS 'Chunks whose finished tasks are released or passed over: once.';
COMMENT ON COLUMN released_chunks.chunk_id IS 'As in experience_chunks.';
COMMENT ON COLUMN released_chunks.agent IS 'As in experience_chunks.';
COMMENT ON COLUMN released_chunks.release_id IS 'The release that marked it.';
COMMENT ON COLUMN released_chunks.closed_by IS 'The release by which all its tasks had ended.';

CREATE FUNCTION keep_release() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.release_id, NEW.header, NEW.nano_rho, NEW.opt_out_generation, NEW.made_at)
        IS DISTINCT FROM (OLD.release_id, OLD.header, OLD.nano_rho, OLD.opt_out_generation, OLD.made_at)
        OR num_nonnulls(OLD.sent_at, OLD.withdrawn_at) > 0
        OR OLD.delivery_began_at > coalesce(NEW.delivery_began_at, '-infinity')
    THEN
        RAISE EXCEPTION 'release % is fixed', OLD.release_id USING ERRCODE = 'QE007';
    END IF;
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION keep_release() IS 'Let a pending release be sent or withdrawn, once.';

CREATE TRIGGER team_releases_are_fixed BEFORE UPDATE ON team_releases
FOR EACH ROW EXECUTE FUNCTION keep_release();

CREATE TRIGGER team_releases_are_kept BEFORE DELETE OR TRUNCATE ON team_releases
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_unless_withdrawn() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM team_releases
        WHERE release_id = OLD.release_id AND withdrawn_at IS NOT null AND delivery_began_at IS null
    ) THEN
        RAISE EXCEPTION 'release % may have arrived', OLD.release_id USING ERRCODE = 'QE007';
    END IF;
    RETURN OLD;
END;
$$;

COMMENT ON FUNCTION keep_unless_withdrawn() IS 'Keep what belongs to a release that may have arrived.';

CREATE TRIGGER release_parts_are_fixed BEFORE UPDATE OR TRUNCATE ON release_parts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER release_parts_are_kept BEFORE DELETE ON release_parts
FOR EACH ROW EXECUTE FUNCTION keep_unless_withdrawn();

CREATE TRIGGER released_chunks_are_fixed BEFORE UPDATE OF chunk_id, agent, release_id ON released_chunks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER released_chunks_are_never_emptied BEFORE TRUNCATE ON released_chunks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER released_chunks_are_kept BEFORE DELETE ON released_chunks
FOR EACH ROW EXECUTE FUNCTION keep_unless_withdrawn();

-- ---------------------------------------------------------------------------------------------------------
-- What releases cost. A release has one debit and a debit one release: each refers to the other.

CREATE TABLE privacy_ledger (
    entry_number int PRIMARY KEY,
    release_id uuid NOT NULL UNIQUE,
    nano_rho bigint NOT NULL,
    spent_nano_rho bigint NOT NULL,
    lifetime_nano_rho bigint NOT NULL,
    debited_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (release_id, nano_rho) REFERENCES team_releases (release_id, nano_rho),
    CONSTRAINT debits_are_positive CHECK (nano_rho > 0),
    CONSTRAINT debits_stay_within_the_lifetime CHECK (spent_nano_rho BETWEEN nano_rho AND lifetime_nano_rho)
);

ALTER TABLE team_releases
ADD CONSTRAINT releases_are_debited FOREIGN KEY (release_id) REFERENCES privacy_ledger (release_id)
DEFERRABLE INITIALLY DEFERRED;

COMMENT ON TABLE privacy_ledger IS 'What releases cost in privacy (zCDP); only ever added to.';
COMMENT ON COLUMN privacy_ledger.entry_number IS 'From 1 without gaps.';
COMMENT ON COLUMN privacy_ledger.release_id IS 'The release.';
COMMENT ON COLUMN privacy_ledger.nano_rho IS 'What it cost, billionths.';
COMMENT ON COLUMN privacy_ledger.spent_nano_rho IS 'What all releases up to it cost together.';
COMMENT ON COLUMN privacy_ledger.lifetime_nano_rho IS 'What they were allowed to cost together, then.';
COMMENT ON COLUMN privacy_ledger.debited_at IS 'When.';

CREATE FUNCTION debit_privacy() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever sees an older moment than this lock gives meets a number that is taken, and fails.
    PERFORM pg_advisory_xact_lock(hashtextextended('privacy_ledger', 7));
    SELECT count(*) + 1, coalesce(sum(nano_rho), 0) + NEW.nano_rho
    INTO NEW.entry_number, NEW.spent_nano_rho
    FROM privacy_ledger;
    IF NEW.spent_nano_rho > NEW.lifetime_nano_rho THEN
        RAISE EXCEPTION 'it costs %, and of % there are % left, in billionths of rho',
            NEW.nano_rho, NEW.lifetime_nano_rho,
            greatest(NEW.lifetime_nano_rho - NEW.spent_nano_rho + NEW.nano_rho, 0)
            USING ERRCODE = 'QE006';
    END IF;
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION debit_privacy() IS 'Number a debit, add it up, refuse it beyond the limit.';

CREATE TRIGGER privacy_ledger_adds_up BEFORE INSERT ON privacy_ledger
FOR EACH ROW EXECUTE FUNCTION debit_privacy();

CREATE TRIGGER privacy_ledger_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON privacy_ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------------------------------------------------
-- What came back.

CREATE TABLE team_pulls (
    pull_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pull_id uuid NOT NULL UNIQUE,
    pulled_by text NOT NULL,
    pulled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_by text,
    undone_at timestamptz,
    CONSTRAINT pulls_words_are_given CHECK (pulled_by <> '' AND undone_by <> ''),
    CONSTRAINT pulls_are_undone_by_somebody CHECK ((undone_by IS null) = (undone_at IS null))
);

COMMENT ON TABLE team_pulls IS 'Every pull that brought something.';
COMMENT ON COLUMN team_pulls.pull_number IS 'Key, in order.';
COMMENT ON COLUMN team_pulls.pull_id IS 'Random, chosen by who pulled.';
COMMENT ON COLUMN team_pulls.pulled_by IS 'Who.';
COMMENT ON COLUMN team_pulls.pulled_at IS 'When.';
COMMENT ON COLUMN team_pulls.undone_by IS 'Who undid it; null while it holds.';
COMMENT ON COLUMN team_pulls.undone_at IS 'When it was undone.';

CREATE TABLE team_tables (
    pull_number bigint NOT NULL REFERENCES team_pulls,
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    state_count int NOT NULL,
    action_count int NOT NULL,
    pair bigint[] NOT NULL,
    q float8[] NOT NULL,
    visits bigint[] NOT NULL,
    error float8[] NOT NULL,
    reported float8[] NOT NULL,
    PRIMARY KEY (agent, fingerprint, pull_number),
    CONSTRAINT team_tables_names_are_given CHECK (agent <> '' AND fingerprint <> ''),
    CONSTRAINT team_tables_shape_is_positive CHECK (version > 0 AND state_count > 0 AND action_count > 0),
    CONSTRAINT team_tables_pairs_exist CHECK (
        0 <= all(pair) AND state_count::bigint * action_count > all(pair)
    ),
    CONSTRAINT team_tables_arrays_are_aligned CHECK (
        cardinality(q) = cardinality(pair) AND cardinality(visits) = cardinality(pair)
        AND cardinality(error) = cardinality(pair) AND cardinality(reported) = cardinality(pair)
    ),
    CONSTRAINT team_tables_values_are_finite CHECK (
        '-Infinity' < all(q) AND 'Infinity' > all(q)
        AND 0 <= all(error) AND 'Infinity' > all(error)
        AND '-Infinity' < all(reported) AND 'Infinity' > all(reported)
    ),
    CONSTRAINT team_tables_rest_on_something CHECK (0 < all(visits))
);

COMMENT ON TABLE team_tables IS 'What the team knows, as it was pulled: only pairs it knows.';
COMMENT ON COLUMN team_tables.pull_number IS 'The pull that brought it.';
COMMENT ON COLUMN team_tables.agent IS 'The agent''s name.';
COMMENT ON COLUMN team_tables.fingerprint IS 'The contract it was learned under.';
COMMENT ON COLUMN team_tables.version IS 'Its number on the team''s server.';
COMMENT ON COLUMN team_tables.state_count IS 'States S of the contract.';
COMMENT ON COLUMN team_tables.action_count IS 'Actions A of the contract.';
COMMENT ON COLUMN team_tables.pair IS 'State times A plus action of each pair known, increasing.';
COMMENT ON COLUMN team_tables.q IS 'Their values, points.';
COMMENT ON COLUMN team_tables.visits IS 'Visits they are worth, noise counted in.';
COMMENT ON COLUMN team_tables.error IS 'Their standard errors, points.';
COMMENT ON COLUMN team_tables.reported IS 'Noisy visits reported of them, all contributors together.';

CREATE VIEW current_team_tables AS
SELECT DISTINCT ON (tables.agent, tables.fingerprint)
    tables.agent,
    tables.fingerprint,
    tables.version,
    tables.state_count,
    tables.action_count,
    tables.pair,
    tables.q,
    tables.visits,
    tables.error,
    tables.reported,
    pulls.pull_id,
    pulls.pulled_at
FROM team_tables AS tables
INNER JOIN team_pulls AS pulls ON tables.pull_number = pulls.pull_number
WHERE pulls.undone_at IS null
ORDER BY tables.agent ASC, tables.fingerprint ASC, tables.pull_number DESC;

COMMENT ON VIEW current_team_tables IS 'Tables in use: of each agent and contract the last not undone.';
COMMENT ON COLUMN current_team_tables.agent IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.fingerprint IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.version IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.state_count IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.action_count IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.pair IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.q IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.visits IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.error IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.reported IS 'As in team_tables.';
COMMENT ON COLUMN current_team_tables.pull_id IS 'As in team_pulls.';
COMMENT ON COLUMN current_team_tables.pulled_at IS 'As in team_pulls.';

-- ---------------------------------------------------------------------------------------------------------
-- What happened.

CREATE TABLE team_sync_log (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    logged_by text NOT NULL,
    details jsonb NOT NULL,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT team_log_kind_is_known CHECK (
        kind IN (
            'release', 'push', 'pull', 'undo', 'refusal', 'withdrawal', 'opt-out', 'opt-in', 'budget',
            'conflict', 'unreachable'
        )
    ),
    CONSTRAINT team_log_words_are_given CHECK (logged_by <> ''),
    CONSTRAINT team_log_details_are_named CHECK (jsonb_typeof(details) = 'object')
);

CREATE TRIGGER team_sync_log_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON team_sync_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE team_sync_log IS 'What passed between this database and the team; only added to.';
COMMENT ON COLUMN team_sync_log.entry_id IS 'Key, in order.';
COMMENT ON COLUMN team_sync_log.kind IS 'release, push, pull, refusal, opt-out and so on.';
COMMENT ON COLUMN team_sync_log.logged_by IS 'Who.';
COMMENT ON COLUMN team_sync_log.details IS 'What, by name.';
COMMENT ON COLUMN team_sync_log.logged_at IS 'When.';
