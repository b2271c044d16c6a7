-- Whose experiences these are and what they are about, as pseudonyms under a key this database does not have.

-- A removal of old partitions that broke off leaves tables beside the log whose rows may have to come back.
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'experience_chunks'::regclass AND inhdetachpending
    LOOP
        EXECUTE format('ALTER TABLE experience_chunks DETACH PARTITION %s FINALIZE', part);
    END LOOP;
    FOR part IN
        SELECT tables.oid::regclass
        FROM pg_class AS log
        INNER JOIN pg_class AS tables ON log.relnamespace = tables.relnamespace
        WHERE
            log.oid = 'experience_chunks'::regclass
            AND tables.relkind = 'r'
            AND NOT tables.relispartition
            AND tables.relname ~ '^experience_chunks_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
    LOOP
        EXECUTE format(
            'ALTER TABLE %s ADD COLUMN developer text COLLATE "C", ADD COLUMN project text COLLATE "C"', part
        );
    END LOOP;
END;
$$;

ALTER TABLE experience_chunks
ADD COLUMN developer text COLLATE "C",
ADD COLUMN project text COLLATE "C",
ADD CONSTRAINT experience_identities_are_pseudonyms CHECK (
    developer ~ '^[0-9a-f]{32}$' AND project ~ '^[0-9a-f]{32}$'
);

COMMENT ON COLUMN experience_chunks.developer IS 'Pseudonym of whom they were made for; null if not said.';
COMMENT ON COLUMN experience_chunks.project IS 'Pseudonym of what was worked on; null where not said.';

ALTER TABLE flush_inbox
ADD COLUMN developer text,
ADD COLUMN project text;

COMMENT ON COLUMN flush_inbox.developer IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.project IS 'As in experience_chunks.';

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
            exploration_rate, success, policy_version, developer, project
        ) VALUES (
            NEW.agent, NEW.fingerprint, NEW.source, NEW.q_table_id, new_version, NEW.experiences,
            NEW.first_at, NEW.last_at, NEW.occurred_at, NEW.episode, NEW.step, NEW.state, NEW.action,
            NEW.reward, NEW.next_state, NEW.terminated, NEW.truncated, NEW.propensity, NEW.exploration_rate,
            NEW.success, NEW.policy_version, NEW.developer, NEW.project
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

CREATE OR REPLACE VIEW learnable_chunks AS
SELECT
    chunks.chunk_id,
    chunks.arrived_at,
    chunks.agent,
    chunks.fingerprint,
    chunks.source,
    chunks.experiences,
    chunks.first_at,
    chunks.last_at,
    chunks.is_in_order,
    chunks.occurred_at,
    chunks.episode,
    chunks.step,
    chunks.state,
    chunks.action,
    chunks.reward,
    chunks.next_state,
    chunks.terminated,
    chunks.truncated,
    chunks.exploration_rate,
    chunks.success,
    chunks.developer,
    chunks.project
FROM experience_chunks AS chunks
-- A probe of the index for each chunk: it keeps the order in which chunks are read.
LEFT JOIN LATERAL (
    SELECT excluding.chunk_id FROM excluded_experiences AS excluding
    WHERE excluding.chunk_id = chunks.chunk_id AND excluding.readmitted_by IS null
    ORDER BY excluding.chunk_id
    LIMIT 1
) AS excluded ON true
WHERE NOT chunks.is_folded AND excluded.chunk_id IS null;

COMMENT ON COLUMN learnable_chunks.developer IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.project IS 'As in experience_chunks.';
