-- Policy versions and what agents serve, A/B tests, rollbacks.

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'QE003';
END;
$$;

COMMENT ON FUNCTION refuse_change() IS 'Keep a table append-only.';

-- ---------------------------------------------------------------------------------------------------------
-- Frozen tables: a row is stored once for all snapshots in a row that hold it.

CREATE TABLE table_snapshots (
    snapshot_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    q_table_id int NOT NULL,
    table_version bigint NOT NULL,
    source_version jsonb NOT NULL,
    states int NOT NULL,
    visits bigint NOT NULL,
    rows_stored int NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT snapshots_count_something CHECK (
        table_version >= 0 AND states >= 0 AND visits >= 0 AND rows_stored BETWEEN 0 AND states
    )
);

CREATE INDEX table_snapshots_of_table ON table_snapshots (q_table_id, snapshot_id);

CREATE TRIGGER table_snapshots_are_frozen BEFORE UPDATE ON table_snapshots
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE table_snapshots IS 'Moments at which a Q-table was frozen.';
COMMENT ON COLUMN table_snapshots.snapshot_id IS 'Key, in order within a table.';
COMMENT ON COLUMN table_snapshots.q_table_id IS 'The table; a reference would wait for publications.';
COMMENT ON COLUMN table_snapshots.table_version IS 'The version the table had.';
COMMENT ON COLUMN table_snapshots.source_version IS 'What the table''s last publication was built from.';
COMMENT ON COLUMN table_snapshots.states IS 'States that held something.';
COMMENT ON COLUMN table_snapshots.visits IS 'Sum of all visits.';
COMMENT ON COLUMN table_snapshots.rows_stored IS 'Rows that differed from the snapshot before.';
COMMENT ON COLUMN table_snapshots.taken_at IS 'When.';

CREATE TABLE snapshot_rows (
    q_table_id int NOT NULL,
    state bigint NOT NULL,
    held_from bigint NOT NULL,
    held_until bigint NOT NULL DEFAULT 9223372036854775807,
    q float8[] NOT NULL,
    visits bigint[] NOT NULL,
    target_mean float8[] NOT NULL,
    target_m2 float8[] NOT NULL,
    weights float8[] NOT NULL,
    PRIMARY KEY (q_table_id, state, held_from),
    CONSTRAINT snapshot_rows_end_once UNIQUE (q_table_id, held_until, state),
    CONSTRAINT snapshot_rows_are_held CHECK (held_from < held_until)
);

COMMENT ON TABLE snapshot_rows IS 'Rows of frozen tables, each stored once for all snapshots that hold it.';
COMMENT ON COLUMN snapshot_rows.q_table_id IS 'The table.';
COMMENT ON COLUMN snapshot_rows.state IS 'As in q_values.';
COMMENT ON COLUMN snapshot_rows.held_from IS 'The first snapshot that holds the row.';
COMMENT ON COLUMN snapshot_rows.held_until IS 'The first one that does not; the largest number until then.';
COMMENT ON COLUMN snapshot_rows.q IS 'As in q_values.';
COMMENT ON COLUMN snapshot_rows.visits IS 'As in q_values.';
COMMENT ON COLUMN snapshot_rows.target_mean IS 'As in q_values.';
COMMENT ON COLUMN snapshot_rows.target_m2 IS 'As in q_values.';
COMMENT ON COLUMN snapshot_rows.weights IS 'As in q_values.';

-- ---------------------------------------------------------------------------------------------------------
-- Policy versions, and what each agent serves.

CREATE TABLE policy_versions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    own_snapshot bigint NOT NULL REFERENCES table_snapshots,
    category_snapshot bigint NOT NULL REFERENCES table_snapshots,
    fleet_snapshot bigint NOT NULL REFERENCES table_snapshots,
    exploration_state json,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (agent, number),
    CONSTRAINT versions_words_are_given CHECK (
        agent <> '' AND fingerprint <> '' AND reason <> '' AND created_by <> ''
    )
);

CREATE INDEX policy_versions_own ON policy_versions (own_snapshot);
CREATE INDEX policy_versions_category ON policy_versions (category_snapshot);
CREATE INDEX policy_versions_fleet ON policy_versions (fleet_snapshot);

CREATE TRIGGER policy_versions_are_frozen BEFORE UPDATE ON policy_versions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE policy_versions IS 'What an agent decided by at one moment: three frozen tables.';
COMMENT ON COLUMN policy_versions.number IS 'Key, unique over the fleet; what experiences carry.';
COMMENT ON COLUMN policy_versions.agent IS 'Whose policy it is.';
COMMENT ON COLUMN policy_versions.fingerprint IS 'The contract of the agent''s own table.';
COMMENT ON COLUMN policy_versions.own_snapshot IS 'The agent''s own table, frozen.';
COMMENT ON COLUMN policy_versions.category_snapshot IS 'Its category''s table, frozen.';
COMMENT ON COLUMN policy_versions.fleet_snapshot IS 'The fleet''s table, frozen.';
COMMENT ON COLUMN policy_versions.exploration_state IS 'Where exploration stood; null where not told.';
COMMENT ON COLUMN policy_versions.reason IS 'Why it was frozen.';
COMMENT ON COLUMN policy_versions.created_by IS 'Who asked for it.';
COMMENT ON COLUMN policy_versions.created_at IS 'When.';

CREATE FUNCTION is_under_current_contract(of_version bigint) RETURNS bool
LANGUAGE sql STABLE AS $$
SELECT coalesce(bool_and(tables.is_current), false)
FROM policy_versions AS versions
INNER JOIN table_snapshots AS snapshots ON versions.own_snapshot = snapshots.snapshot_id
INNER JOIN q_tables AS tables ON snapshots.q_table_id = tables.q_table_id
WHERE versions.number = of_version;
$$;

COMMENT ON FUNCTION is_under_current_contract(bigint) IS 'Whether it is of its agent''s current table.';

CREATE TABLE policy_aliases (
    agent text COLLATE "C" NOT NULL,
    alias text NOT NULL,
    number bigint NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, alias),
    FOREIGN KEY (agent, number) REFERENCES policy_versions (agent, number),
    CONSTRAINT aliases_are_known CHECK (alias IN ('stable', 'candidate'))
);

COMMENT ON TABLE policy_aliases IS 'Which versions each agent serves.';
COMMENT ON COLUMN policy_aliases.agent IS 'The agent.';
COMMENT ON COLUMN policy_aliases.alias IS 'stable or candidate.';
COMMENT ON COLUMN policy_aliases.number IS 'The version, one of the agent''s own.';
COMMENT ON COLUMN policy_aliases.moved_at IS 'Since when.';

CREATE TABLE agent_modes (
    agent text COLLATE "C" PRIMARY KEY,
    mode text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    needed_alias text GENERATED ALWAYS AS (CASE WHEN mode = 'serving' THEN 'stable' END) STORED,
    FOREIGN KEY (agent, needed_alias) REFERENCES policy_aliases (agent, alias),
    CONSTRAINT modes_are_known CHECK (mode IN ('learning', 'serving'))
);

COMMENT ON TABLE agent_modes IS 'Whether an agent follows its live table or a frozen version.';
COMMENT ON COLUMN agent_modes.agent IS 'The agent; one that is not listed is learning.';
COMMENT ON COLUMN agent_modes.mode IS 'learning or serving.';
COMMENT ON COLUMN agent_modes.since IS 'Since when.';
COMMENT ON COLUMN agent_modes.needed_alias IS 'What must exist in this mode: serving needs a stable version.';

CREATE TABLE policy_history (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    what text NOT NULL,
    before text,
    after text,
    changed_by text NOT NULL,
    why text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT history_kinds_are_known CHECK (what IN ('stable', 'candidate', 'mode')),
    CONSTRAINT history_is_of_changes CHECK (before IS DISTINCT FROM after),
    CONSTRAINT history_words_are_given CHECK (agent <> '' AND changed_by <> '' AND why <> '')
);

CREATE INDEX policy_history_of_agent ON policy_history (agent, change_id);

CREATE TRIGGER policy_history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_history
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE policy_history IS 'Every change of an alias or a mode.';
COMMENT ON COLUMN policy_history.change_id IS 'Key, in order.';
COMMENT ON COLUMN policy_history.agent IS 'Whose.';
COMMENT ON COLUMN policy_history.what IS 'stable, candidate or mode.';
COMMENT ON COLUMN policy_history.before IS 'The version''s number or the mode before; null for none.';
COMMENT ON COLUMN policy_history.after IS 'The version''s number or the mode from then on; null for none.';
COMMENT ON COLUMN policy_history.changed_by IS 'Who.';
COMMENT ON COLUMN policy_history.why IS 'Why.';
COMMENT ON COLUMN policy_history.changed_at IS 'When.';

-- ---------------------------------------------------------------------------------------------------------
-- A/B tests.

CREATE TABLE ab_tests (
    experiment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    agent text COLLATE "C" NOT NULL,
    unit_kind text NOT NULL,
    control_version bigint NOT NULL,
    treatment_version bigint NOT NULL,
    hold_out float8 NOT NULL,
    settings json NOT NULL,
    stage smallint NOT NULL DEFAULT 10,
    started_by text NOT NULL,
    why text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    verdict text,
    ended_at timestamptz,
    FOREIGN KEY (agent, control_version) REFERENCES policy_versions (agent, number),
    FOREIGN KEY (agent, treatment_version) REFERENCES policy_versions (agent, number),
    CONSTRAINT tests_key_fits_the_hash CHECK (octet_length(key) BETWEEN 1 AND 64),
    CONSTRAINT tests_unit_is_known CHECK (unit_kind IN ('task', 'developer')),
    CONSTRAINT tests_compare_two_versions CHECK (control_version <> treatment_version),
    CONSTRAINT tests_keep_a_hold_out CHECK (hold_out > 0 AND hold_out <= 0.5),
    CONSTRAINT tests_stage_is_known CHECK (stage IN (10, 50, 100)),
    CONSTRAINT tests_words_are_given CHECK (started_by <> '' AND why <> ''),
    CONSTRAINT tests_end_with_a_verdict CHECK ((verdict IS null) = (ended_at IS null)),
    CONSTRAINT tests_verdict_is_known CHECK (
        verdict IN ('promote', 'stop for harm', 'stop for futility', 'invalid', 'stopped by hand')
    )
);

CREATE UNIQUE INDEX ab_tests_one_running ON ab_tests (agent) WHERE verdict IS null;

COMMENT ON TABLE ab_tests IS 'A/B tests of an agent''s candidate against its stable version; never changed.';
COMMENT ON COLUMN ab_tests.experiment_id IS 'Key.';
COMMENT ON COLUMN ab_tests.key IS 'What units are assigned by.';
COMMENT ON COLUMN ab_tests.agent IS 'Whose versions are compared.';
COMMENT ON COLUMN ab_tests.unit_kind IS 'What is assigned and analysed: task or developer.';
COMMENT ON COLUMN ab_tests.control_version IS 'The version compared with, frozen.';
COMMENT ON COLUMN ab_tests.treatment_version IS 'The version tested, frozen.';
COMMENT ON COLUMN ab_tests.hold_out IS 'Share of units that stays in control at the last stage.';
COMMENT ON COLUMN ab_tests.settings IS 'What the test was started with, for its analysis.';
COMMENT ON COLUMN ab_tests.stage IS 'Share of units offered the candidate, percent; only grows.';
COMMENT ON COLUMN ab_tests.started_by IS 'Who.';
COMMENT ON COLUMN ab_tests.why IS 'Why.';
COMMENT ON COLUMN ab_tests.started_at IS 'When.';
COMMENT ON COLUMN ab_tests.verdict IS 'What ended it; null while it runs.';
COMMENT ON COLUMN ab_tests.ended_at IS 'When it ended; null while it runs.';

CREATE FUNCTION keep_test_frozen() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.verdict IS NOT null OR NEW.stage < OLD.stage
        OR (to_jsonb(NEW) - 'stage' - 'verdict' - 'ended_at')
        <> (to_jsonb(OLD) - 'stage' - 'verdict' - 'ended_at')
    THEN
        RAISE EXCEPTION 'test % is frozen: only a running one goes on to a later stage or ends', OLD.key
            USING ERRCODE = 'QE003';
    END IF;
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION keep_test_frozen() IS 'Let nothing about a test change but its stage and its end.';

CREATE TRIGGER ab_tests_are_frozen BEFORE UPDATE ON ab_tests
FOR EACH ROW EXECUTE FUNCTION keep_test_frozen();

CREATE TRIGGER ab_tests_are_kept BEFORE DELETE OR TRUNCATE ON ab_tests
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_versions() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    named bigint;
BEGIN
    IF TG_TABLE_NAME = 'policy_aliases' AND EXISTS (
        SELECT FROM ab_tests WHERE agent = changed ->> 'agent' AND verdict IS null
    ) THEN
        RAISE EXCEPTION 'a test of % is running', changed ->> 'agent' USING ERRCODE = 'QE004';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    FOREACH named IN ARRAY array_remove(ARRAY[
        (changed ->> 'number')::bigint,
        (changed ->> 'control_version')::bigint,
        (changed ->> 'treatment_version')::bigint
    ], null) LOOP
        IF NOT is_under_current_contract(named) THEN
            RAISE EXCEPTION 'version % is of a contract that % has no longer', named, changed ->> 'agent'
                USING ERRCODE = 'QE005';
        END IF;
    END LOOP;
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION check_versions() IS 'Serve and test what fits the contract; rest during tests.';

CREATE TRIGGER policy_aliases_fit BEFORE INSERT OR UPDATE OR DELETE ON policy_aliases
FOR EACH ROW EXECUTE FUNCTION check_versions();

CREATE TRIGGER ab_tests_fit BEFORE INSERT ON ab_tests
FOR EACH ROW EXECUTE FUNCTION check_versions();

CREATE TABLE ab_stages (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment_id bigint NOT NULL REFERENCES ab_tests,
    from_stage smallint,
    to_stage smallint,
    verdict text,
    changed_by text NOT NULL,
    why text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stages_change_something CHECK (from_stage IS DISTINCT FROM to_stage),
    CONSTRAINT stages_end_with_a_verdict CHECK ((to_stage IS null) = (verdict IS NOT null)),
    CONSTRAINT stages_words_are_given CHECK (changed_by <> '' AND why <> '')
);

CREATE INDEX ab_stages_of_test ON ab_stages (experiment_id, entry_id);

CREATE TRIGGER ab_stages_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ab_stages
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE ab_stages IS 'Every start, change of stage and end of a test.';
COMMENT ON COLUMN ab_stages.entry_id IS 'Key, in order.';
COMMENT ON COLUMN ab_stages.experiment_id IS 'The test.';
COMMENT ON COLUMN ab_stages.from_stage IS 'Percent before; null at the start.';
COMMENT ON COLUMN ab_stages.to_stage IS 'Percent from then on; null at the end.';
COMMENT ON COLUMN ab_stages.verdict IS 'What ended it.';
COMMENT ON COLUMN ab_stages.changed_by IS 'Who.';
COMMENT ON COLUMN ab_stages.why IS 'Why.';
COMMENT ON COLUMN ab_stages.changed_at IS 'When.';

CREATE TABLE ab_units (
    experiment_id bigint NOT NULL REFERENCES ab_tests,
    unit text COLLATE "C" NOT NULL,
    stage smallint NOT NULL,
    arm text NOT NULL,
    policy_version bigint NOT NULL,
    assigned_at timestamptz NOT NULL,
    cluster text COLLATE "C",
    reward float8,
    is_success bool,
    cost float8,
    duration_seconds float8,
    recorded_at timestamptz,
    repeats int NOT NULL DEFAULT 0,
    PRIMARY KEY (experiment_id, unit),
    CONSTRAINT units_are_named CHECK (unit <> '' AND cluster <> ''),
    CONSTRAINT units_stage_is_known CHECK (stage IN (10, 50, 100)),
    CONSTRAINT units_arm_is_known CHECK (arm IN ('control', 'treatment')),
    CONSTRAINT units_outcome_is_whole CHECK (
        (reward IS null) = (recorded_at IS null)
        AND (reward IS NOT null OR coalesce(is_success::int, cost, duration_seconds) IS null)
    ),
    CONSTRAINT units_repeats_are_counted CHECK (repeats >= 0 AND (repeats = 0 OR recorded_at IS NOT null)),
    CONSTRAINT units_figures_are_finite CHECK (
        abs(reward) < 'Infinity' AND abs(cost) < 'Infinity'
        AND duration_seconds >= 0 AND duration_seconds < 'Infinity'
    )
);

COMMENT ON TABLE ab_units IS 'Units assigned to an arm of a test, and what came of them.';
COMMENT ON COLUMN ab_units.experiment_id IS 'The test.';
COMMENT ON COLUMN ab_units.unit IS 'The task''s episode or the developer.';
COMMENT ON COLUMN ab_units.stage IS 'The test''s stage when it was assigned, percent.';
COMMENT ON COLUMN ab_units.arm IS 'control or treatment.';
COMMENT ON COLUMN ab_units.policy_version IS 'The version it was served.';
COMMENT ON COLUMN ab_units.assigned_at IS 'When it was assigned, by its process''s clock.';
COMMENT ON COLUMN ab_units.cluster IS 'What it belongs to, for example a developer; null where unknown.';
COMMENT ON COLUMN ab_units.reward IS 'Undiscounted return of its episode, points; null until known.';
COMMENT ON COLUMN ab_units.is_success IS 'Whether it succeeded, where known.';
COMMENT ON COLUMN ab_units.cost IS 'What it cost, where known.';
COMMENT ON COLUMN ab_units.duration_seconds IS 'How long it took, where known.';
COMMENT ON COLUMN ab_units.recorded_at IS 'When its outcome was known, by its process''s clock.';
COMMENT ON COLUMN ab_units.repeats IS 'How often an outcome came again; the first one stands.';

CREATE TABLE ab_analyses (
    analysis_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment_id bigint NOT NULL REFERENCES ab_tests,
    stage smallint NOT NULL,
    verdict text NOT NULL,
    analysis json NOT NULL,
    analysed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT analyses_words_are_given CHECK (verdict <> '')
);

CREATE INDEX ab_analyses_of_test ON ab_analyses (experiment_id, analysis_id);

CREATE TRIGGER ab_analyses_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ab_analyses
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE ab_analyses IS 'Every look at a test, and what it said.';
COMMENT ON COLUMN ab_analyses.analysis_id IS 'Key, in order.';
COMMENT ON COLUMN ab_analyses.experiment_id IS 'The test.';
COMMENT ON COLUMN ab_analyses.stage IS 'Its stage then, percent.';
COMMENT ON COLUMN ab_analyses.verdict IS 'What the look said.';
COMMENT ON COLUMN ab_analyses.analysis IS 'All figures.';
COMMENT ON COLUMN ab_analyses.analysed_at IS 'When.';

-- ---------------------------------------------------------------------------------------------------------
-- Rollbacks.

CREATE TABLE rollback_events (
    rollback_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    trigger text NOT NULL,
    evidence json NOT NULL,
    rolled_back_by text NOT NULL,
    from_version bigint NOT NULL,
    to_version bigint NOT NULL,
    served_version bigint,
    q_table_id int NOT NULL REFERENCES q_tables,
    epoch_before bigint NOT NULL,
    version_before bigint NOT NULL,
    rows_written bigint NOT NULL,
    rows_removed bigint NOT NULL,
    is_log_complete bool NOT NULL,
    stopped_test bigint REFERENCES ab_tests,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (agent, from_version) REFERENCES policy_versions (agent, number),
    FOREIGN KEY (agent, to_version) REFERENCES policy_versions (agent, number),
    CONSTRAINT rollbacks_mode_is_known CHECK (mode IN ('learning', 'serving')),
    CONSTRAINT rollbacks_words_are_given CHECK (agent <> '' AND trigger <> '' AND rolled_back_by <> ''),
    CONSTRAINT rollbacks_counts_are_positive CHECK (
        rows_written >= 0 AND rows_removed >= 0
    )
);

CREATE INDEX rollback_events_of_agent ON rollback_events (agent, rollback_id);

CREATE TRIGGER rollback_events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON rollback_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE rollback_events IS 'Every rollback, with the evidence for it.';
COMMENT ON COLUMN rollback_events.rollback_id IS 'Key, in order.';
COMMENT ON COLUMN rollback_events.agent IS 'Whose policy was rolled back.';
COMMENT ON COLUMN rollback_events.mode IS 'The agent''s mode.';
COMMENT ON COLUMN rollback_events.trigger IS 'What fired: a rule, or a person.';
COMMENT ON COLUMN rollback_events.evidence IS 'The figures it fired on.';
COMMENT ON COLUMN rollback_events.rolled_back_by IS 'Who.';
COMMENT ON COLUMN rollback_events.from_version IS 'The live table as it was found, frozen.';
COMMENT ON COLUMN rollback_events.to_version IS 'What was restored.';
COMMENT ON COLUMN rollback_events.served_version IS 'The version that harmed; null for the live table.';
COMMENT ON COLUMN rollback_events.q_table_id IS 'The agent''s table.';
COMMENT ON COLUMN rollback_events.epoch_before IS 'Its epoch until then; writers that hold it are refused.';
COMMENT ON COLUMN rollback_events.version_before IS 'Its version until then.';
COMMENT ON COLUMN rollback_events.rows_written IS 'States whose rows were put back.';
COMMENT ON COLUMN rollback_events.rows_removed IS 'States whose rows were taken away.';
COMMENT ON COLUMN rollback_events.is_log_complete IS 'False where some may be in summaries already, counted.';
COMMENT ON COLUMN rollback_events.stopped_test IS 'The test that was running.';
COMMENT ON COLUMN rollback_events.happened_at IS 'When.';

CREATE TABLE excluded_experiences (
    chunk_id bigint NOT NULL,
    agent text COLLATE "C" NOT NULL,
    excluded_by bigint NOT NULL REFERENCES rollback_events,
    readmitted_by bigint REFERENCES rollback_events,
    experiences int NOT NULL,
    PRIMARY KEY (chunk_id, excluded_by),
    CONSTRAINT exclusions_end_later CHECK (readmitted_by > excluded_by)
);

CREATE UNIQUE INDEX excluded_experiences_now ON excluded_experiences (chunk_id) WHERE readmitted_by IS null;
CREATE INDEX excluded_experiences_of_agent ON excluded_experiences (agent, excluded_by);

COMMENT ON TABLE excluded_experiences IS 'Chunks of the log nobody learns from, because of a rollback.';
COMMENT ON COLUMN excluded_experiences.chunk_id IS 'As in experience_chunks.';
COMMENT ON COLUMN excluded_experiences.agent IS 'As in experience_chunks.';
COMMENT ON COLUMN excluded_experiences.excluded_by IS 'The rollback that excluded it.';
COMMENT ON COLUMN excluded_experiences.readmitted_by IS 'The rollback that undid that; null while excluded.';
COMMENT ON COLUMN excluded_experiences.experiences IS 'As in experience_chunks.';

CREATE VIEW learnable_chunks AS
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
    chunks.success
FROM experience_chunks AS chunks
-- A probe of the index for each chunk: it keeps the order in which chunks are read.
LEFT JOIN LATERAL (
    SELECT excluding.chunk_id FROM excluded_experiences AS excluding
    WHERE excluding.chunk_id = chunks.chunk_id AND excluding.readmitted_by IS null
    ORDER BY excluding.chunk_id
    LIMIT 1
) AS excluded ON true
WHERE NOT chunks.is_folded AND excluded.chunk_id IS null;

COMMENT ON VIEW learnable_chunks IS 'The chunks of the log that are learned from: not folded, not excluded.';
COMMENT ON COLUMN learnable_chunks.chunk_id IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.arrived_at IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.agent IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.fingerprint IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.source IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.experiences IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.first_at IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.last_at IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.is_in_order IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.occurred_at IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.episode IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.step IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.state IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.action IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.reward IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.next_state IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.terminated IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.truncated IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.exploration_rate IS 'As in experience_chunks.';
COMMENT ON COLUMN learnable_chunks.success IS 'As in experience_chunks.';

CREATE TABLE refused_flushes (
    flush_id uuid PRIMARY KEY,
    q_table_id int NOT NULL,
    epoch bigint NOT NULL,
    updates int NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refusals_count_something CHECK (updates > 0)
);

CREATE INDEX refused_flushes_of_epoch ON refused_flushes (q_table_id, epoch);

COMMENT ON TABLE refused_flushes IS 'Flushes refused for a passed epoch, as their writers report.';
COMMENT ON COLUMN refused_flushes.flush_id IS 'Chosen by the writer.';
COMMENT ON COLUMN refused_flushes.q_table_id IS 'The table it was for.';
COMMENT ON COLUMN refused_flushes.epoch IS 'The epoch its writer held.';
COMMENT ON COLUMN refused_flushes.updates IS 'Updates in it; none was stored.';
COMMENT ON COLUMN refused_flushes.refused_at IS 'When the refusal was reported.';

-- ---------------------------------------------------------------------------------------------------------
-- A changed contract ends what was served under the old one.

CREATE FUNCTION forget_policies() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    because text := 'the agent''s contract changed';
BEGIN
    INSERT INTO ab_stages (experiment_id, from_stage, verdict, changed_by, why)
    SELECT experiment_id, stage, 'invalid', 'contract', because
    FROM ab_tests
    WHERE agent = NEW.name AND verdict IS null;
    UPDATE ab_tests SET verdict = 'invalid', ended_at = now() WHERE agent = NEW.name AND verdict IS null;
    INSERT INTO policy_history (agent, what, before, after, changed_by, why)
    SELECT agent, 'mode', mode, 'learning', 'contract', because
    FROM agent_modes
    WHERE agent = NEW.name AND mode <> 'learning'
    UNION ALL
    SELECT agent, alias, number::text, null, 'contract', because
    FROM policy_aliases
    WHERE agent = NEW.name;
    DELETE FROM agent_modes WHERE agent = NEW.name;
    DELETE FROM policy_aliases WHERE agent = NEW.name;
    PERFORM pg_notify('qe_serving', NEW.name);
    RETURN null;
END;
$$;

COMMENT ON FUNCTION forget_policies() IS 'Serve and test nothing of a contract an agent has no longer.';

CREATE TRIGGER q_tables_retire_policies AFTER UPDATE OF is_current ON q_tables
FOR EACH ROW WHEN (old.is_current AND NOT new.is_current AND new.level = 'individual')
EXECUTE FUNCTION forget_policies();
