-- Alerts and their delivery, adjustments to learning, and the figures that explain a verdict.

ALTER TABLE learning_stats
ADD COLUMN return_sd float8,
ADD COLUMN largest_q float8,
ADD COLUMN recent_bias float8,
ADD COLUMN pair_coverage float8,
ADD COLUMN is_settling bool,
ADD CONSTRAINT stats_explanations_are_in_range CHECK (
    return_sd >= 0 AND return_sd < 'Infinity'
    AND largest_q >= 0 AND largest_q < 'Infinity'
    AND recent_bias >= 0 AND recent_bias < 'Infinity'
    AND pair_coverage BETWEEN 0 AND 1
);

COMMENT ON COLUMN learning_stats.return_sd IS 'Standard deviation of the returns of the episodes, points.';
COMMENT ON COLUMN learning_stats.largest_q IS 'Largest absolute value at the end of the window, points.';
COMMENT ON COLUMN learning_stats.recent_bias IS 'Bias of values against recent targets beyond noise, points.';
COMMENT ON COLUMN learning_stats.pair_coverage IS 'Share of recent visits to states tried often enough.';
COMMENT ON COLUMN learning_stats.is_settling IS 'Whether the step sizes form a Robbins-Monro sequence.';

CREATE TABLE alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    opening int NOT NULL DEFAULT 1,
    severity text NOT NULL,
    summary text NOT NULL,
    runbook text NOT NULL,
    observation text NOT NULL,
    occurrences bigint NOT NULL DEFAULT 1,
    opened_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    UNIQUE (kind, subject, opening),
    CONSTRAINT alerts_words_are_given CHECK (
        kind <> '' AND subject <> '' AND summary <> '' AND runbook <> ''
    ),
    CONSTRAINT alerts_severity_is_known CHECK (severity IN ('warning', 'critical')),
    CONSTRAINT alerts_counts_are_positive CHECK (opening >= 1 AND occurrences >= 1),
    CONSTRAINT alerts_resolution_is_whole CHECK (
        (resolved_at IS null) = (resolved_by IS null) AND (resolved_at IS null) = (resolution IS null)
    )
);

CREATE UNIQUE INDEX alerts_one_open ON alerts (kind, subject) WHERE resolved_at IS null;

COMMENT ON TABLE alerts IS 'What needed a person: a row per opening, one open per kind and subject.';
COMMENT ON COLUMN alerts.alert_id IS 'Key.';
COMMENT ON COLUMN alerts.kind IS 'What happened; names the runbook page.';
COMMENT ON COLUMN alerts.subject IS 'Whom it concerns, for example an agent.';
COMMENT ON COLUMN alerts.opening IS 'How often this kind was opened for this subject, this time included.';
COMMENT ON COLUMN alerts.severity IS 'warning or critical; rises while open, never falls.';
COMMENT ON COLUMN alerts.summary IS 'What was seen last, for people.';
COMMENT ON COLUMN alerts.runbook IS 'The page that says what to do.';
COMMENT ON COLUMN alerts.observation IS 'What the last sighting rests on; the same one does not count again.';
COMMENT ON COLUMN alerts.occurrences IS 'Different sightings while open.';
COMMENT ON COLUMN alerts.opened_at IS 'When it was first seen.';
COMMENT ON COLUMN alerts.last_seen_at IS 'When it was last seen.';
COMMENT ON COLUMN alerts.resolved_at IS 'When it was over; null while open.';
COMMENT ON COLUMN alerts.resolved_by IS 'Who said so: a person, or the monitor.';
COMMENT ON COLUMN alerts.resolution IS 'Why it is over.';

CREATE TABLE alert_deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
    event text NOT NULL,
    channel text NOT NULL,
    idempotency_key uuid NOT NULL DEFAULT gen_random_uuid(),
    attempts int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    abandoned_at timestamptz,
    last_error text,
    UNIQUE (alert_id, event, channel),
    CONSTRAINT deliveries_event_is_known CHECK (event IN ('opened', 'escalated', 'resolved')),
    CONSTRAINT deliveries_channel_is_known CHECK (channel IN ('log', 'webhook')),
    CONSTRAINT deliveries_end_once CHECK (delivered_at IS null OR abandoned_at IS null)
);

CREATE INDEX alert_deliveries_waiting ON alert_deliveries (due_at)
WHERE delivered_at IS null AND abandoned_at IS null;

COMMENT ON TABLE alert_deliveries IS 'What is to be told to whom about alerts, stored with the alert itself.';
COMMENT ON COLUMN alert_deliveries.delivery_id IS 'Key, in the order of events.';
COMMENT ON COLUMN alert_deliveries.alert_id IS 'The alert.';
COMMENT ON COLUMN alert_deliveries.event IS 'opened, escalated or resolved.';
COMMENT ON COLUMN alert_deliveries.channel IS 'log or webhook.';
COMMENT ON COLUMN alert_deliveries.idempotency_key IS 'The same at every attempt: receivers know it by it.';
COMMENT ON COLUMN alert_deliveries.attempts IS 'Attempts begun.';
COMMENT ON COLUMN alert_deliveries.due_at IS 'When to try next, or when the attempt under way is lost.';
COMMENT ON COLUMN alert_deliveries.delivered_at IS 'When a receiver confirmed it.';
COMMENT ON COLUMN alert_deliveries.abandoned_at IS 'When it was given up.';
COMMENT ON COLUMN alert_deliveries.last_error IS 'Why the last attempt failed.';

CREATE TABLE learning_adjustments (
    adjustment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    adjusted_at timestamptz NOT NULL DEFAULT now(),
    adjusted_by text NOT NULL,
    verdict text NOT NULL,
    reason text NOT NULL,
    learning_rate_factor_before float8 NOT NULL,
    learning_rate_factor float8 NOT NULL,
    exploration_floor_before float8 NOT NULL,
    exploration_floor float8 NOT NULL,
    CONSTRAINT adjustments_words_are_given CHECK (agent <> '' AND adjusted_by <> '' AND reason <> ''),
    CONSTRAINT adjustments_factors_are_in_range CHECK (
        learning_rate_factor_before > 0 AND learning_rate_factor_before <= 1
        AND learning_rate_factor > 0 AND learning_rate_factor <= 1
    ),
    CONSTRAINT adjustments_floors_are_rates CHECK (
        exploration_floor_before BETWEEN 0 AND 1 AND exploration_floor BETWEEN 0 AND 1
    )
);

CREATE INDEX learning_adjustments_newest ON learning_adjustments (agent, adjustment_id DESC);

COMMENT ON TABLE learning_adjustments IS 'Every automatic change to how an agent learns; the newest holds.';
COMMENT ON COLUMN learning_adjustments.adjustment_id IS 'Key, in order.';
COMMENT ON COLUMN learning_adjustments.agent IS 'Whose learning was changed.';
COMMENT ON COLUMN learning_adjustments.adjusted_at IS 'When.';
COMMENT ON COLUMN learning_adjustments.adjusted_by IS 'Who: the monitor, or a person.';
COMMENT ON COLUMN learning_adjustments.verdict IS 'The verdict it answers.';
COMMENT ON COLUMN learning_adjustments.reason IS 'Why, for people.';
COMMENT ON COLUMN learning_adjustments.learning_rate_factor_before IS 'Factor on learning rates before.';
COMMENT ON COLUMN learning_adjustments.learning_rate_factor IS 'Factor on learning rates from now on.';
COMMENT ON COLUMN learning_adjustments.exploration_floor_before IS 'Least exploration rate before.';
COMMENT ON COLUMN learning_adjustments.exploration_floor IS 'Least exploration rate from now on.';
