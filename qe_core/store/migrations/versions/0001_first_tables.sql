-- Q-tables, the log of experiences, statistics and imports.

CREATE TABLE q_tables (
    q_table_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level text NOT NULL,
    name text NOT NULL,
    fingerprint text NOT NULL,
    state_count int NOT NULL,
    action_names text[] NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    source_version jsonb NOT NULL DEFAULT '{}',
    is_current bool NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT q_tables_level_is_known CHECK (level IN ('individual', 'category', 'fleet')),
    CONSTRAINT q_tables_name_is_given CHECK (name <> '' AND fingerprint <> ''),
    CONSTRAINT q_tables_shape_is_positive CHECK (state_count > 0 AND cardinality(action_names) > 0),
    CONSTRAINT q_tables_counters_are_positive CHECK (epoch >= 0 AND version >= 0)
);

CREATE UNIQUE INDEX q_tables_one_current ON q_tables (level, name) WHERE is_current;

COMMENT ON TABLE q_tables IS 'Every Q-table ever registered; the current one of a level and name is served.';
COMMENT ON COLUMN q_tables.q_table_id IS 'Key.';
COMMENT ON COLUMN q_tables.level IS 'Floor of the hierarchy: individual, category or fleet.';
COMMENT ON COLUMN q_tables.name IS 'The agent''s, the category''s or the fleet''s name.';
COMMENT ON COLUMN q_tables.fingerprint IS 'The contract it is learned under; never read under another.';
COMMENT ON COLUMN q_tables.state_count IS 'Number of states of the contract, visited or not.';
COMMENT ON COLUMN q_tables.action_names IS 'Names of the columns of the arrays in q_values.';
COMMENT ON COLUMN q_tables.epoch IS 'Fencing epoch: writes that carry an older one are refused whole.';
COMMENT ON COLUMN q_tables.version IS 'Raised by every transaction that changes the table''s rows.';
COMMENT ON COLUMN q_tables.source_version IS 'What the last publication was built from.';
COMMENT ON COLUMN q_tables.is_current IS 'False for tables retired by a changed contract.';
COMMENT ON COLUMN q_tables.created_at IS 'When it was registered.';
COMMENT ON COLUMN q_tables.updated_at IS 'When it or its rows last changed.';

CREATE TABLE q_values (
    q_table_id int NOT NULL REFERENCES q_tables ON DELETE CASCADE,
    state bigint NOT NULL,
    q float8[] NOT NULL,
    visits bigint[] NOT NULL,
    target_mean float8[] NOT NULL,
    target_m2 float8[] NOT NULL,
    weights float8[] NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (q_table_id, state),
    CONSTRAINT q_values_state_is_positive CHECK (state >= 0),
    CONSTRAINT q_values_arrays_are_aligned CHECK (
        cardinality(q) > 0
        AND cardinality(visits) = cardinality(q)
        AND cardinality(target_mean) = cardinality(q)
        AND cardinality(target_m2) = cardinality(q)
        AND cardinality(weights) = cardinality(q)
    ),
    CONSTRAINT q_values_are_finite CHECK (
        '-Infinity' < all(q) AND 'Infinity' > all(q)
        AND '-Infinity' < all(target_mean) AND 'Infinity' > all(target_mean)
    ),
    CONSTRAINT q_values_evidence_is_positive CHECK (
        0 <= all(visits)
        AND 0 <= all(target_m2) AND 'Infinity' > all(target_m2)
        AND 0 <= all(weights) AND 'Infinity' > all(weights)
    )
) WITH (fillfactor = 70);

COMMENT ON TABLE q_values IS 'Learned values, one row per state; arrays are aligned with action_names.';
COMMENT ON COLUMN q_values.q_table_id IS 'The table the row belongs to.';
COMMENT ON COLUMN q_values.state IS 'Encoded state, or its projection to the category or the fleet.';
COMMENT ON COLUMN q_values.q IS 'Action values, points.';
COMMENT ON COLUMN q_values.visits IS 'Updates each value rests on.';
COMMENT ON COLUMN q_values.target_mean IS 'Mean of the learning targets, points.';
COMMENT ON COLUMN q_values.target_m2 IS 'Squared deviations of the learning targets, summed, points squared.';
COMMENT ON COLUMN q_values.weights IS 'Confidence times visits when published, multiples of 2^-20.';
COMMENT ON COLUMN q_values.version IS 'Raised whenever the row changes.';
COMMENT ON COLUMN q_values.updated_at IS 'When the row last changed.';

CREATE VIEW q_values_long AS
SELECT
    tables.q_table_id,
    tables.level,
    tables.name,
    rows.state,
    pair.action_index - 1 AS action_index,
    pair.action_name,
    pair.q,
    pair.visits,
    pair.target_mean,
    pair.target_m2,
    pair.weight,
    rows.version,
    rows.updated_at
FROM q_tables AS tables
INNER JOIN q_values AS rows ON tables.q_table_id = rows.q_table_id
CROSS JOIN
    LATERAL unnest(
        tables.action_names, rows.q, rows.visits, rows.target_mean, rows.target_m2, rows.weights
    ) WITH ORDINALITY AS pair (action_name, q, visits, target_mean, target_m2, weight, action_index)
WHERE tables.is_current;

COMMENT ON VIEW q_values_long IS 'The current Q-tables spelled long: one row per state and action.';
COMMENT ON COLUMN q_values_long.q_table_id IS 'The table.';
COMMENT ON COLUMN q_values_long.level IS 'Floor of the hierarchy: individual, category or fleet.';
COMMENT ON COLUMN q_values_long.name IS 'The agent''s, the category''s or the fleet''s name.';
COMMENT ON COLUMN q_values_long.state IS 'Encoded state.';
COMMENT ON COLUMN q_values_long.action_index IS 'Position of the action, from 0.';
COMMENT ON COLUMN q_values_long.action_name IS 'The action, or on shared tables the approach.';
COMMENT ON COLUMN q_values_long.q IS 'Action value, points.';
COMMENT ON COLUMN q_values_long.visits IS 'Updates the value rests on.';
COMMENT ON COLUMN q_values_long.target_mean IS 'Mean of the learning targets, points.';
COMMENT ON COLUMN q_values_long.target_m2 IS 'Summed squared deviations of the targets, points squared.';
COMMENT ON COLUMN q_values_long.weight IS 'Confidence times visits when published.';
COMMENT ON COLUMN q_values_long.version IS 'Raised whenever the state''s row changes.';
COMMENT ON COLUMN q_values_long.updated_at IS 'When the state''s row last changed.';

CREATE TABLE learning_experiences (
    experience_id bigint GENERATED ALWAYS AS IDENTITY,
    occurred_at timestamptz NOT NULL,
    agent text COLLATE "C" NOT NULL,
    episode text COLLATE "C" NOT NULL,
    step int NOT NULL,
    state bigint NOT NULL,
    action smallint NOT NULL,
    reward float8 NOT NULL,
    next_state bigint NOT NULL,
    terminated bool NOT NULL,
    truncated bool NOT NULL,
    propensity float8 NOT NULL,
    exploration_rate float8,
    success bool,
    policy_version bigint,
    fingerprint text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    CONSTRAINT experience_names_are_given CHECK (
        agent <> '' AND episode <> '' AND fingerprint <> '' AND source <> ''
    ),
    CONSTRAINT experience_step_is_positive CHECK (step >= 0),
    CONSTRAINT experience_state_is_positive CHECK (state >= 0 AND next_state >= 0),
    CONSTRAINT experience_action_is_positive CHECK (action >= 0),
    CONSTRAINT experience_reward_is_in_points CHECK (reward BETWEEN -100 AND 100),
    CONSTRAINT experience_end_is_unambiguous CHECK (NOT (terminated AND truncated)),
    CONSTRAINT experience_propensity_is_a_probability CHECK (propensity > 0 AND propensity <= 1),
    CONSTRAINT experience_exploration_rate_is_a_probability CHECK (exploration_rate BETWEEN 0 AND 1),
    CONSTRAINT experience_success_is_at_the_end CHECK (success IS null OR terminated OR truncated)
) PARTITION BY RANGE (occurred_at);

-- One index for both jobs: it makes appending idempotent and is the canonical order of an agent's log.
CREATE UNIQUE INDEX learning_experiences_canonical
ON learning_experiences (agent, occurred_at, source, episode, step);

COMMENT ON TABLE learning_experiences IS 'The append-only log of transitions, partitioned by month.';
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

CREATE FUNCTION ensure_experience_partition(month date) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    next_month date := (date_trunc('month', month) + interval '1 month')::date;
    partition_name text := 'learning_experiences_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- The lock that attaching needs anyway. An advisory lock would not do: only a lock on a table makes this
    -- session look at what others created meanwhile.
    LOCK TABLE learning_experiences IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Attaching an empty table does not block readers and writers of the log; CREATE ... PARTITION OF would.
    EXECUTE format('CREATE TABLE %I (LIKE learning_experiences INCLUDING CONSTRAINTS)', partition_name);
    EXECUTE format(
        'ALTER TABLE learning_experiences ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name,
        first_day::timestamp AT TIME ZONE 'UTC',
        next_month::timestamp AT TIME ZONE 'UTC'
    );
    RETURN true;
END;
$$;

COMMENT ON FUNCTION ensure_experience_partition(date) IS 'Make a partition for a UTC month; true if new.';

CREATE TABLE learning_stats (
    agent text COLLATE "C" NOT NULL,
    window_index int NOT NULL,
    first_experience_id bigint NOT NULL,
    last_experience_id bigint NOT NULL,
    episodes int NOT NULL,
    experiences bigint NOT NULL,
    mean_return float8 NOT NULL,
    reward_mean float8 NOT NULL,
    reward_sd float8 NOT NULL,
    success_rate float8,
    exploration_rate float8,
    mean_abs_q_change float8,
    bellman_residual float8,
    greedy_churn float8,
    states_visited int NOT NULL,
    verdict text NOT NULL,
    reason text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, window_index),
    CONSTRAINT stats_counts_are_positive CHECK (
        window_index >= 0 AND episodes > 0 AND experiences > 0 AND states_visited >= 0
    ),
    CONSTRAINT stats_figures_are_finite CHECK (
        abs(mean_return) < 'Infinity' AND abs(reward_mean) < 'Infinity'
        AND reward_sd >= 0 AND reward_sd < 'Infinity'
        AND mean_abs_q_change >= 0 AND mean_abs_q_change < 'Infinity'
        AND bellman_residual >= 0 AND bellman_residual < 'Infinity'
    ),
    CONSTRAINT stats_rates_are_fractions CHECK (
        success_rate BETWEEN 0 AND 1 AND exploration_rate BETWEEN 0 AND 1 AND greedy_churn BETWEEN 0 AND 1
    ),
    CONSTRAINT stats_verdict_is_known CHECK (
        verdict IN ('insufficient data', 'learning', 'converged', 'diverging', 'stale')
    )
);

COMMENT ON TABLE learning_stats IS 'Statistics and verdict per agent and window; null is unknown.';
COMMENT ON COLUMN learning_stats.agent IS 'Whose statistics they are.';
COMMENT ON COLUMN learning_stats.window_index IS '0 is the oldest window.';
COMMENT ON COLUMN learning_stats.first_experience_id IS 'Lowest experience number in the window.';
COMMENT ON COLUMN learning_stats.last_experience_id IS 'Highest experience number in the window.';
COMMENT ON COLUMN learning_stats.episodes IS 'Episodes in the window.';
COMMENT ON COLUMN learning_stats.experiences IS 'Transitions in the window.';
COMMENT ON COLUMN learning_stats.mean_return IS 'Mean undiscounted return of the window''s episodes, points.';
COMMENT ON COLUMN learning_stats.reward_mean IS 'Mean reward of a transition, points.';
COMMENT ON COLUMN learning_stats.reward_sd IS 'Standard deviation of rewards, points.';
COMMENT ON COLUMN learning_stats.success_rate IS 'Share of successes among episodes whose outcome is known.';
COMMENT ON COLUMN learning_stats.exploration_rate IS 'Exploration rate at the end of the window.';
COMMENT ON COLUMN learning_stats.mean_abs_q_change IS 'Mean change of values relative to the reward scale.';
COMMENT ON COLUMN learning_stats.bellman_residual IS 'Largest residual against the empirical MDP, points.';
COMMENT ON COLUMN learning_stats.greedy_churn IS 'Visit-weighted share of states whose best action changed.';
COMMENT ON COLUMN learning_stats.states_visited IS 'Distinct states seen up to the end of the window.';
COMMENT ON COLUMN learning_stats.verdict IS 'What the windows up to this one say about the agent.';
COMMENT ON COLUMN learning_stats.reason IS 'What decided the verdict, for people.';
COMMENT ON COLUMN learning_stats.computed_at IS 'When these figures were computed.';

CREATE TABLE imports (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    file_digest text COLLATE "C" NOT NULL,
    file_name text NOT NULL,
    rows_read bigint NOT NULL DEFAULT 0,
    rows_new bigint NOT NULL DEFAULT 0,
    rows_bad bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'running',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, file_digest),
    CONSTRAINT imports_counts_are_positive CHECK (rows_read >= 0 AND rows_new >= 0 AND rows_bad >= 0),
    CONSTRAINT imports_state_is_known CHECK (state IN ('running', 'done', 'failed'))
);

COMMENT ON TABLE imports IS 'How far the import of each file has come, so that it resumes.';
COMMENT ON COLUMN imports.import_id IS 'Key.';
COMMENT ON COLUMN imports.source IS 'What the file''s experiences carry as their source.';
COMMENT ON COLUMN imports.file_digest IS 'SHA-256 of the file, hex.';
COMMENT ON COLUMN imports.file_name IS 'The file''s name, for people.';
COMMENT ON COLUMN imports.rows_read IS 'Rows of the file handled so far: where to resume.';
COMMENT ON COLUMN imports.rows_new IS 'Rows that were not in the log before.';
COMMENT ON COLUMN imports.rows_bad IS 'Rows set aside.';
COMMENT ON COLUMN imports.state IS 'running, done or failed.';
COMMENT ON COLUMN imports.created_at IS 'When the import was first begun.';
COMMENT ON COLUMN imports.updated_at IS 'When the record last changed.';
