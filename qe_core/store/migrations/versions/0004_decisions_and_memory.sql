-- Decisions whose outcome is recorded by another process than the one that took them.

CREATE TABLE decision_claims (
    q_table_id int NOT NULL,
    episode text COLLATE "C" NOT NULL,
    step int NOT NULL,
    flush_id uuid NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (q_table_id, episode, step),
    CONSTRAINT claims_name_an_episode CHECK (episode <> ''),
    CONSTRAINT claims_name_a_step CHECK (step >= 0)
);

COMMENT ON TABLE decision_claims IS 'Decisions whose outcome only one flush may store.';
COMMENT ON COLUMN decision_claims.q_table_id IS 'The table the decision was taken under.';
COMMENT ON COLUMN decision_claims.episode IS 'As in experience_chunks.';
COMMENT ON COLUMN decision_claims.step IS 'As in experience_chunks.';
COMMENT ON COLUMN decision_claims.flush_id IS 'The one flush that may; it follows from episode and step.';
COMMENT ON COLUMN decision_claims.claimed_at IS 'When it was claimed first.';

CREATE INDEX experience_chunks_versions ON experience_chunks (q_table_id, table_version)
WHERE q_table_id IS NOT NULL;

CREATE FUNCTION claim_decision(
    of_table int, after_version bigint, of_episode text, of_step int, by_flush uuid
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    recorded_version bigint;
BEGIN
    -- Behind the table's line no flush is half-way: it is in the log already, or it will meet the claim.
    PERFORM FROM q_tables WHERE q_table_id = of_table FOR NO KEY UPDATE;
    SELECT max(chunks.table_version) INTO recorded_version
    FROM experience_chunks AS chunks
    WHERE chunks.q_table_id = of_table
        AND chunks.table_version > after_version
        AND EXISTS (
            SELECT FROM unnest(chunks.episode, chunks.step) AS single (episode, step)
            WHERE single.episode = of_episode AND single.step = of_step
        );
    IF recorded_version IS NULL THEN
        DELETE FROM decision_claims WHERE claimed_at < now() - interval '60 days';
        INSERT INTO decision_claims (q_table_id, episode, step, flush_id)
        VALUES (of_table, of_episode, of_step, by_flush)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN recorded_version;
END;
$$;

COMMENT ON FUNCTION claim_decision(int, bigint, text, int, uuid)
IS 'Reserve a decision for one flush; answers the version that has it already, if any.';

CREATE OR REPLACE FUNCTION take_flush() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    new_version bigint;
BEGIN
    -- Taking the table's line first makes the order of all locks the same everywhere: no deadlock. It is held
    -- until this statement commits, never while the client is asked for something.
    UPDATE q_tables SET version = version + 1, updated_at = now()
    WHERE q_table_id = NEW.q_table_id AND is_current AND epoch = NEW.epoch
    RETURNING version INTO new_version;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM flushes WHERE flush_id = NEW.flush_id) THEN
        RAISE EXCEPTION 'table % is not at epoch %', NEW.q_table_id, NEW.epoch USING ERRCODE = 'QE001';
    END IF;
    -- A flush that committed before fails here on its key, whole; so does one whose epoch passed since.
    INSERT INTO flushes (flush_id, q_table_id, table_version)
    VALUES (NEW.flush_id, NEW.q_table_id, coalesce(new_version, 0));
    -- Nearly always there is no claim on this table, and one look at an index says so.
    IF NEW.experiences > 0 AND EXISTS (SELECT FROM decision_claims WHERE q_table_id = NEW.q_table_id) THEN
        PERFORM FROM unnest(NEW.episode, NEW.step) AS arriving (episode, step)
        INNER JOIN decision_claims AS claimed
            ON claimed.q_table_id = NEW.q_table_id
            AND claimed.episode = arriving.episode
            AND claimed.step = arriving.step
        WHERE claimed.flush_id <> NEW.flush_id
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'a decision of table % was taken over', NEW.q_table_id USING ERRCODE = 'QE002';
        END IF;
    END IF;
    IF NEW.experiences > 0 THEN
        INSERT INTO experience_chunks (
            agent, fingerprint, source, q_table_id, table_version, experiences, first_at, last_at,
            occurred_at, episode, step, state, action, reward, next_state, terminated, truncated, propensity,
            exploration_rate, success, policy_version
        ) VALUES (
            NEW.agent, NEW.fingerprint, NEW.source, NEW.q_table_id, new_version, NEW.experiences,
            NEW.first_at, NEW.last_at, NEW.occurred_at, NEW.episode, NEW.step, NEW.state, NEW.action,
            NEW.reward, NEW.next_state, NEW.terminated, NEW.truncated, NEW.propensity, NEW.exploration_rate,
            NEW.success, NEW.policy_version
        );
    END IF;
    -- PostgreSQL refuses products too small for a float8 where others round to 0, so small factors are 0.
    INSERT INTO q_values AS stored (
        q_table_id, state, q, visits, target_mean, target_m2, weights, scale
    )
    SELECT
        NEW.q_table_id,
        sliced.state,
        NEW.q_offset[sliced.low:sliced.high],
        NEW.visits[sliced.low:sliced.high],
        NEW.target_mean[sliced.low:sliced.high],
        NEW.target_m2[sliced.low:sliced.high],
        array_fill(0::float8, ARRAY[NEW.action_count]),
        NEW.scale[sliced.low:sliced.high]
    FROM (
        SELECT
            updated.state,
            ((updated.position - 1) * NEW.action_count + 1)::int AS low,
            (updated.position * NEW.action_count)::int AS high
        FROM unnest(NEW.updated_state) WITH ORDINALITY AS updated (state, position)
    ) AS sliced
    ORDER BY sliced.state
    ON CONFLICT (q_table_id, state) DO UPDATE SET
        (q, visits, target_mean, target_m2) = (
            SELECT
                array_agg(
                    CASE
                        WHEN pair.added = 0 THEN pair.q
                        WHEN abs(pair.q) < 1e-150 OR pair.scale < 1e-150 THEN pair.q_offset
                        ELSE pair.scale * pair.q + pair.q_offset
                    END
                ),
                array_agg(pair.visits + pair.added),
                array_agg(
                    CASE
                        WHEN pair.added = 0 OR abs(pair.new_mean - pair.mean) < 1e-150 THEN pair.mean
                        ELSE pair.mean + (pair.new_mean - pair.mean)
                            * (pair.added::float8 / (pair.visits + pair.added))
                    END
                ),
                array_agg(
                    CASE
                        WHEN pair.added = 0 THEN pair.m2
                        WHEN pair.visits = 0 OR abs(pair.new_mean - pair.mean) < 1e-150
                            THEN pair.m2 + pair.new_m2
                        ELSE pair.m2 + pair.new_m2
                            + (pair.new_mean - pair.mean) * (pair.new_mean - pair.mean)
                            * (pair.visits::float8 * pair.added / (pair.visits + pair.added))
                    END
                )
            FROM (
                SELECT
                    unnest(stored.q) AS q,
                    unnest(excluded.scale) AS scale,
                    unnest(excluded.q) AS q_offset,
                    unnest(stored.visits) AS visits,
                    unnest(excluded.visits) AS added,
                    unnest(stored.target_mean) AS mean,
                    unnest(excluded.target_mean) AS new_mean,
                    unnest(stored.target_m2) AS m2,
                    unnest(excluded.target_m2) AS new_m2
            ) AS pair
        ),
        scale = null,
        version = stored.version + 1,
        updated_at = now();
    RETURN null;
END;
$$;

-- ---------------------------------------------------------------------------------------------------------
-- What agents remember for each other.

CREATE SEQUENCE qe_memory_versions;

CREATE TABLE qe_memory (
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value json NOT NULL,
    version bigint NOT NULL DEFAULT nextval('qe_memory_versions'),
    expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, key),
    CONSTRAINT memory_names_are_given CHECK (
        char_length(namespace) BETWEEN 1 AND 200 AND char_length(key) BETWEEN 1 AND 400
    ),
    CONSTRAINT memory_values_are_bounded CHECK (octet_length(value::text) <= 1048576)
);

CREATE INDEX qe_memory_expiry ON qe_memory (expires_at) WHERE expires_at IS NOT NULL;

COMMENT ON TABLE qe_memory IS 'What agents remember, for themselves and for each other.';
COMMENT ON COLUMN qe_memory.namespace IS 'Keeps the keys of different uses apart.';
COMMENT ON COLUMN qe_memory.key IS 'Unique within its namespace.';
COMMENT ON COLUMN qe_memory.value IS 'JSON, exactly as it was given.';
COMMENT ON COLUMN qe_memory.version IS 'Another one at each change, never used twice.';
COMMENT ON COLUMN qe_memory.expires_at IS 'From when on it does not exist, by the server''s clock.';
COMMENT ON COLUMN qe_memory.updated_at IS 'When it was last set.';
