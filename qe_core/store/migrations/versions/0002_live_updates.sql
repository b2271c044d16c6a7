-- Views of the analytics project stand on what changes here; its next build makes them again.
DROP SCHEMA IF EXISTS qe_views CASCADE;

-- ---------------------------------------------------------------------------------------------------------
-- The log: one row per chunk of experiences that arrived together, one array per column.

ALTER TABLE learning_experiences RENAME TO experience_rows_0001;

CREATE TABLE experience_chunks (
    chunk_id bigint GENERATED ALWAYS AS IDENTITY,
    arrived_at timestamptz NOT NULL DEFAULT now(),
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    q_table_id int,
    table_version bigint,
    is_folded bool NOT NULL DEFAULT false,
    experiences int NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    is_in_order bool NOT NULL DEFAULT false,
    occurred_at timestamptz[] NOT NULL,
    episode text[] COLLATE "C" NOT NULL,
    step int[] NOT NULL,
    state bigint[] NOT NULL,
    action smallint[] NOT NULL,
    reward float8[] NOT NULL,
    next_state bigint[] NOT NULL,
    terminated bool[] NOT NULL,
    truncated bool[] NOT NULL,
    propensity float8[] NOT NULL,
    exploration_rate float8[] NOT NULL,
    success smallint[] NOT NULL,
    policy_version bigint[] NOT NULL,
    episodes_begun int NOT NULL GENERATED ALWAYS AS (cardinality(array_positions(step, 0))) STORED,
    CONSTRAINT experience_chunk_fits_its_numbers CHECK (experiences BETWEEN 1 AND 65536),
    CONSTRAINT experience_columns_are_aligned CHECK (
        cardinality(occurred_at) = experiences AND cardinality(episode) = experiences
        AND cardinality(step) = experiences AND cardinality(state) = experiences
        AND cardinality(action) = experiences AND cardinality(reward) = experiences
        AND cardinality(next_state) = experiences AND cardinality(terminated) = experiences
        AND cardinality(truncated) = experiences AND cardinality(propensity) = experiences
        AND cardinality(exploration_rate) = experiences AND cardinality(success) = experiences
        AND cardinality(policy_version) = experiences
    ),
    CONSTRAINT experience_names_are_given CHECK (
        agent <> '' AND fingerprint <> '' AND source <> '' AND '' <> all(episode)
    ),
    CONSTRAINT experience_times_are_bounded CHECK (
        first_at <= all(occurred_at) AND last_at >= all(occurred_at)
    ),
    CONSTRAINT experience_step_is_positive CHECK (0 <= all(step)),
    CONSTRAINT experience_state_is_positive CHECK (0 <= all(state) AND 0 <= all(next_state)),
    CONSTRAINT experience_action_is_positive CHECK (0 <= all(action)),
    CONSTRAINT experience_reward_is_in_points CHECK (-100 <= all(reward) AND 100 >= all(reward)),
    CONSTRAINT experience_propensity_is_a_probability CHECK (0 < all(propensity) AND 1 >= all(propensity)),
    CONSTRAINT experience_exploration_rate_is_a_probability CHECK (0 <= all(exploration_rate)),
    CONSTRAINT experience_success_is_known_or_not CHECK (-1 <= all(success) AND 1 >= all(success))
) PARTITION BY RANGE (arrived_at);

CREATE INDEX experience_chunks_canonical ON experience_chunks (agent, fingerprint, first_at, chunk_id);
CREATE INDEX experience_chunks_span ON experience_chunks (agent, source, last_at);
CREATE INDEX experience_chunks_arrival ON experience_chunks (agent, chunk_id);

COMMENT ON TABLE experience_chunks IS 'The log: experiences that arrived together, a day a partition.';
COMMENT ON COLUMN experience_chunks.chunk_id IS 'Number in order of arrival, not canonical.';
COMMENT ON COLUMN experience_chunks.arrived_at IS 'When it was stored, by the server''s clock.';
COMMENT ON COLUMN experience_chunks.agent IS 'Whose experiences these are.';
COMMENT ON COLUMN experience_chunks.fingerprint IS 'The contract they were recorded under.';
COMMENT ON COLUMN experience_chunks.source IS 'simulated, recorded, agent or import:<name>.';
COMMENT ON COLUMN experience_chunks.q_table_id IS 'The table they updated as they arrived, if they did.';
COMMENT ON COLUMN experience_chunks.table_version IS 'The version they raised that table to.';
COMMENT ON COLUMN experience_chunks.is_folded IS 'True when counted in transition_summaries: no longer read.';
COMMENT ON COLUMN experience_chunks.experiences IS 'Length of all arrays.';
COMMENT ON COLUMN experience_chunks.first_at IS 'Earliest occurred_at.';
COMMENT ON COLUMN experience_chunks.last_at IS 'Latest occurred_at.';
COMMENT ON COLUMN experience_chunks.is_in_order IS 'Whether each experience is later than the one before.';
COMMENT ON COLUMN experience_chunks.occurred_at IS 'When each step was taken.';
COMMENT ON COLUMN experience_chunks.episode IS 'Unique for the agent within a source.';
COMMENT ON COLUMN experience_chunks.step IS 'Positions in the episode, from 0.';
COMMENT ON COLUMN experience_chunks.state IS 'Encoded states under the contract named by fingerprint.';
COMMENT ON COLUMN experience_chunks.action IS 'Indices of the actions taken.';
COMMENT ON COLUMN experience_chunks.reward IS 'Points in [-100, 100].';
COMMENT ON COLUMN experience_chunks.next_state IS 'Encoded states that followed.';
COMMENT ON COLUMN experience_chunks.terminated IS 'The episode ended by its rules: no value follows.';
COMMENT ON COLUMN experience_chunks.truncated IS 'The episode was cut off: a value follows.';
COMMENT ON COLUMN experience_chunks.propensity IS 'Probabilities with which the actions were taken.';
COMMENT ON COLUMN experience_chunks.exploration_rate IS 'Exploration rate then, NaN where unknown.';
COMMENT ON COLUMN experience_chunks.success IS '1 or 0 on an episode''s last step where known, else -1.';
COMMENT ON COLUMN experience_chunks.policy_version IS 'The policy version followed, -1 where there was none.';
COMMENT ON COLUMN experience_chunks.episodes_begun IS 'Episodes whose step 0 is here.';

CREATE FUNCTION ensure_chunk_partition(day date) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
    partition_name text := 'experience_chunks_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- The lock that attaching needs anyway. An advisory lock would not do: only a lock on a table makes this
    -- session look at what others created meanwhile.
    LOCK TABLE experience_chunks IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Attaching an empty table does not block readers and writers of the log; CREATE ... PARTITION OF would.
    -- Numbers do not shrink enough to be worth the time it takes; a few dozen experiences stay in their row.
    EXECUTE format(
        'CREATE TABLE %I (LIKE experience_chunks INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING GENERATED) '
        'WITH (toast_tuple_target = 8160)',
        partition_name
    );
    EXECUTE format(
        'ALTER TABLE experience_chunks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name,
        day::timestamp AT TIME ZONE 'UTC',
        (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
    RETURN true;
END;
$$;

COMMENT ON FUNCTION ensure_chunk_partition(date) IS 'Make a partition for a UTC day; true if new.';

ALTER TABLE experience_chunks
ALTER COLUMN occurred_at SET STORAGE EXTERNAL,
ALTER COLUMN step SET STORAGE EXTERNAL,
ALTER COLUMN state SET STORAGE EXTERNAL,
ALTER COLUMN action SET STORAGE EXTERNAL,
ALTER COLUMN reward SET STORAGE EXTERNAL,
ALTER COLUMN next_state SET STORAGE EXTERNAL,
ALTER COLUMN terminated SET STORAGE EXTERNAL,
ALTER COLUMN truncated SET STORAGE EXTERNAL,
ALTER COLUMN propensity SET STORAGE EXTERNAL,
ALTER COLUMN exploration_rate SET STORAGE EXTERNAL,
ALTER COLUMN success SET STORAGE EXTERNAL,
ALTER COLUMN policy_version SET STORAGE EXTERNAL;

SELECT ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date + days) FROM generate_series(-1, 7) AS days;

INSERT INTO experience_chunks (
    agent, fingerprint, source, experiences, first_at, last_at, occurred_at, episode, step, state, action,
    reward, next_state, terminated, truncated, propensity, exploration_rate, success, policy_version
)
SELECT
    agent,
    fingerprint,
    source,
    count(*) AS experiences,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    array_agg(occurred_at ORDER BY occurred_at, episode, step) AS occurred_at,
    array_agg(episode ORDER BY occurred_at, episode, step) AS episode,
    array_agg(step ORDER BY occurred_at, episode, step) AS step,
    array_agg(state ORDER BY occurred_at, episode, step) AS state,
    array_agg(action ORDER BY occurred_at, episode, step) AS action,
    array_agg(reward ORDER BY occurred_at, episode, step) AS reward,
    array_agg(next_state ORDER BY occurred_at, episode, step) AS next_state,
    array_agg(terminated ORDER BY occurred_at, episode, step) AS terminated,
    array_agg(truncated ORDER BY occurred_at, episode, step) AS truncated,
    array_agg(propensity ORDER BY occurred_at, episode, step) AS propensity,
    array_agg(coalesce(exploration_rate, 'NaN') ORDER BY occurred_at, episode, step) AS exploration_rate,
    array_agg(coalesce(success::int, -1)::smallint ORDER BY occurred_at, episode, step) AS success,
    array_agg(coalesce(policy_version, -1) ORDER BY occurred_at, episode, step) AS policy_version
FROM (
    SELECT
        *,
        (
            row_number() OVER (PARTITION BY agent, fingerprint, source ORDER BY occurred_at, episode, step)
            - 1
        ) / 65536 AS chunk
    FROM experience_rows_0001
) AS numbered
GROUP BY agent, fingerprint, source, chunk
ORDER BY min(experience_id);

DROP TABLE experience_rows_0001;
DROP FUNCTION ensure_experience_partition(date);

CREATE VIEW learning_experiences AS
SELECT
    chunks.chunk_id * 65536 + single.position - 1 AS experience_id,
    single.occurred_at,
    chunks.agent,
    single.episode,
    single.step,
    single.state,
    single.action,
    single.reward,
    single.next_state,
    single.terminated,
    single.truncated,
    single.propensity,
    nullif(single.exploration_rate, 'NaN') AS exploration_rate,
    CASE single.success WHEN 1 THEN true WHEN 0 THEN false END AS success,
    nullif(single.policy_version, -1) AS policy_version,
    chunks.fingerprint,
    chunks.source,
    chunks.arrived_at
FROM experience_chunks AS chunks
CROSS JOIN
    LATERAL unnest(
        chunks.occurred_at, chunks.episode, chunks.step, chunks.state, chunks.action, chunks.reward,
        chunks.next_state, chunks.terminated, chunks.truncated, chunks.propensity, chunks.exploration_rate,
        chunks.success, chunks.policy_version
    ) WITH ORDINALITY AS single (
        occurred_at, episode, step, state, action, reward, next_state, terminated, truncated, propensity,
        exploration_rate, success, policy_version, position
    )
WHERE NOT chunks.is_folded;

COMMENT ON VIEW learning_experiences IS 'The log spelled long: one row per transition not folded.';
COMMENT ON COLUMN learning_experiences.experience_id IS 'Number in order of arrival, not canonical.';
COMMENT ON COLUMN learning_experiences.occurred_at IS 'When the step was taken.';
COMMENT ON COLUMN learning_experiences.agent IS 'Whose experience it is.';
COMMENT ON COLUMN learning_experiences.episode IS 'Unique for the agent within a source.';
COMMENT ON COLUMN learning_experiences.step IS 'Position in the episode, from 0.';
COMMENT ON COLUMN learning_experiences.state IS 'Encoded state under the contract named by fingerprint.';
COMMENT ON COLUMN learning_experiences.action IS 'Index of the action taken.';
COMMENT ON COLUMN learning_experiences.reward IS 'Points in [-100, 100].';
COMMENT ON COLUMN learning_experiences.next_state IS 'Encoded state that followed.';
COMMENT ON COLUMN learning_experiences.terminated IS 'The episode ended by its rules: no value follows.';
COMMENT ON COLUMN learning_experiences.truncated IS 'The episode was cut off: a value follows.';
COMMENT ON COLUMN learning_experiences.propensity IS 'Probability with which this action was taken.';
COMMENT ON COLUMN learning_experiences.exploration_rate IS 'Exploration rate at the decision, where known.';
COMMENT ON COLUMN learning_experiences.success IS 'Whether the episode succeeded; only on its last step.';
COMMENT ON COLUMN learning_experiences.policy_version IS 'The policy version followed, where there was one.';
COMMENT ON COLUMN learning_experiences.fingerprint IS 'The contract it was recorded under.';
COMMENT ON COLUMN learning_experiences.source IS 'simulated, recorded, agent or import:<name>.';
COMMENT ON COLUMN learning_experiences.arrived_at IS 'When it was stored, by the server''s clock.';

-- ---------------------------------------------------------------------------------------------------------
-- What retention keeps of the experiences it removes.

CREATE TABLE transition_summaries (
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    state bigint NOT NULL,
    action smallint NOT NULL,
    next_state bigint NOT NULL,
    terminated bool NOT NULL,
    count bigint NOT NULL,
    reward_mean float8 NOT NULL,
    reward_m2 float8 NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, fingerprint, state, action, next_state, terminated),
    CONSTRAINT summaries_count_something CHECK (count > 0),
    CONSTRAINT summaries_rewards_are_in_points CHECK (reward_mean BETWEEN -100 AND 100),
    CONSTRAINT summaries_deviations_are_finite CHECK (reward_m2 >= 0 AND reward_m2 < 'Infinity')
);

COMMENT ON TABLE transition_summaries IS 'Transitions retention removed, counted once each.';
COMMENT ON COLUMN transition_summaries.agent IS 'Whose experiences they were.';
COMMENT ON COLUMN transition_summaries.fingerprint IS 'The contract they were recorded under.';
COMMENT ON COLUMN transition_summaries.state IS 'Encoded state.';
COMMENT ON COLUMN transition_summaries.action IS 'Index of the action taken.';
COMMENT ON COLUMN transition_summaries.next_state IS 'Encoded state that followed.';
COMMENT ON COLUMN transition_summaries.terminated IS 'Whether the episode ended by its rules there.';
COMMENT ON COLUMN transition_summaries.count IS 'Transitions counted.';
COMMENT ON COLUMN transition_summaries.reward_mean IS 'Mean of their rewards, points.';
COMMENT ON COLUMN transition_summaries.reward_m2 IS 'Squared deviations of their rewards, summed.';
COMMENT ON COLUMN transition_summaries.updated_at IS 'When something was last added.';

-- ---------------------------------------------------------------------------------------------------------
-- The path that learns: a row copied into flush_inbox is a flush.

ALTER TABLE q_tables
ADD COLUMN publications bigint NOT NULL DEFAULT 0,
ADD COLUMN publication_conflicts bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN q_tables.publications IS 'How often the contents were replaced.';
COMMENT ON COLUMN q_tables.publication_conflicts IS 'How often a replacement met a change and began anew.';

ALTER TABLE q_values ADD COLUMN scale float8[];
COMMENT ON COLUMN q_values.scale IS 'Scratch: the factors of a flush on their way to a row.';

CREATE TABLE flushes (
    flush_id uuid PRIMARY KEY,
    q_table_id int NOT NULL,
    table_version bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE flushes IS 'Flushes that committed, so that none is ever repeated.';
COMMENT ON COLUMN flushes.flush_id IS 'Chosen by the writer.';
COMMENT ON COLUMN flushes.q_table_id IS 'The table it updated.';
COMMENT ON COLUMN flushes.table_version IS 'The version it raised that table to.';
COMMENT ON COLUMN flushes.committed_at IS 'When it was stored.';

CREATE INDEX flushes_by_age ON flushes (committed_at);

CREATE TABLE flush_inbox (
    flush_id uuid NOT NULL,
    q_table_id int NOT NULL,
    epoch bigint NOT NULL,
    action_count int NOT NULL,
    updated_state bigint[] NOT NULL,
    scale float8[] NOT NULL,
    q_offset float8[] NOT NULL,
    visits bigint[] NOT NULL,
    target_mean float8[] NOT NULL,
    target_m2 float8[] NOT NULL,
    agent text,
    fingerprint text,
    source text,
    experiences int NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    occurred_at timestamptz[],
    episode text[],
    step int[],
    state bigint[],
    action smallint[],
    reward float8[],
    next_state bigint[],
    terminated bool[],
    truncated bool[],
    propensity float8[],
    exploration_rate float8[],
    success smallint[],
    policy_version bigint[]
);

COMMENT ON TABLE flush_inbox IS 'Always empty: copying a row in performs a flush, see take_flush().';
COMMENT ON COLUMN flush_inbox.flush_id IS 'Chosen by the writer; a repeated one changes nothing.';
COMMENT ON COLUMN flush_inbox.q_table_id IS 'The table to update.';
COMMENT ON COLUMN flush_inbox.epoch IS 'Fencing epoch the writer holds.';
COMMENT ON COLUMN flush_inbox.action_count IS 'Columns A of the table.';
COMMENT ON COLUMN flush_inbox.updated_state IS 'K states to update, increasing.';
COMMENT ON COLUMN flush_inbox.scale IS 'A of q -> A q + B for all their actions, K x A, 1 where not updated.';
COMMENT ON COLUMN flush_inbox.q_offset IS 'B of q -> A q + B, K x A, 0 where not updated.';
COMMENT ON COLUMN flush_inbox.visits IS 'Updates composed, K x A, 0 where not updated.';
COMMENT ON COLUMN flush_inbox.target_mean IS 'Mean of their targets, K x A, points.';
COMMENT ON COLUMN flush_inbox.target_m2 IS 'Squared deviations of their targets, K x A, points squared.';
COMMENT ON COLUMN flush_inbox.experiences IS 'Experiences that come with it, 0 for none.';
COMMENT ON COLUMN flush_inbox.agent IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.fingerprint IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.source IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.first_at IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.last_at IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.occurred_at IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.episode IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.step IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.state IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.action IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.reward IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.next_state IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.terminated IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.truncated IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.propensity IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.exploration_rate IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.success IS 'As in experience_chunks.';
COMMENT ON COLUMN flush_inbox.policy_version IS 'As in experience_chunks.';

CREATE FUNCTION take_flush() RETURNS trigger
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

COMMENT ON FUNCTION take_flush() IS 'Append the experiences of a flush and merge its updates at once.';

CREATE TRIGGER take_flush BEFORE INSERT ON flush_inbox
FOR EACH ROW EXECUTE FUNCTION take_flush();
