-- name: see_alert
-- Open an alert, or count a new sighting of one that is open; was_open and was_severity are from before.
WITH before AS (
    SELECT
        alert_id,
        severity
    FROM alerts
    WHERE kind = $1 AND subject = $2 AND resolved_at IS null
)

INSERT INTO alerts AS found (kind, subject, severity, summary, runbook, observation, opening)
VALUES (
    $1, $2, $3, $4, $5, $6,
    (
        SELECT count(*) + 1 FROM alerts AS earlier
        WHERE earlier.kind = $1 AND earlier.subject = $2
    )
)
ON CONFLICT (kind, subject)
WHERE resolved_at IS null
DO UPDATE
    SET
        occurrences = found.occurrences + (found.observation <> excluded.observation)::int,
        observation = excluded.observation,
        summary = excluded.summary,
        severity = CASE WHEN found.severity = 'critical' THEN found.severity ELSE excluded.severity END,
        last_seen_at = now()
RETURNING
    alert_id, kind, subject, opening, severity, summary, runbook, occurrences, opened_at, last_seen_at,
    resolved_at, resolved_by, resolution,
    (SELECT before.alert_id FROM before) IS NOT null AS was_open,
    (SELECT before.severity FROM before) AS was_severity;

-- name: lock_alert
-- Wait until no other transaction opens or closes alerts of a kind and subject.
SELECT pg_advisory_xact_lock(hashtextextended($1::text || ' ' || $2::text, 5));

-- name: resolve_alert
-- Close the open alert of a kind and subject, if there is one.
UPDATE alerts SET resolved_at = now(), resolved_by = $3, resolution = $4
WHERE kind = $1 AND subject = $2 AND resolved_at IS null
RETURNING
    alert_id, kind, subject, opening, severity, summary, runbook, occurrences, opened_at, last_seen_at,
    resolved_at, resolved_by, resolution;

-- name: read_alert
-- One alert by its number.
SELECT
    alert_id,
    kind,
    subject,
    opening,
    severity,
    summary,
    runbook,
    occurrences,
    opened_at,
    last_seen_at,
    resolved_at,
    resolved_by,
    resolution
FROM alerts
WHERE alert_id = $1;

-- name: list_alerts
-- Open alerts, the worst first; with resolved ones after them, the newest first, where asked for.
SELECT
    alert_id,
    kind,
    subject,
    opening,
    severity,
    summary,
    runbook,
    occurrences,
    opened_at,
    last_seen_at,
    resolved_at,
    resolved_by,
    resolution
FROM alerts
WHERE $1 OR resolved_at IS null
ORDER BY resolved_at IS NOT null, severity = 'warning', alert_id DESC
LIMIT $2;

-- name: queue_delivery
-- Have an event told to each of these channels; what is queued already stays as it is.
INSERT INTO alert_deliveries (alert_id, event, channel)
SELECT
    $1 AS alert_id,
    $2 AS event,
    told.channel
FROM unnest($3::text[]) AS told (channel)
ON CONFLICT (alert_id, event, channel) DO NOTHING;

-- name: claim_deliveries
-- Take deliveries that are due, in the order of their alert's events, for so many seconds.
UPDATE alert_deliveries AS claimed
SET attempts = claimed.attempts + 1, due_at = now() + make_interval(secs => $2)
FROM (
    SELECT waiting.delivery_id
    FROM alert_deliveries AS waiting
    WHERE
        waiting.delivered_at IS null
        AND waiting.abandoned_at IS null
        AND waiting.due_at <= now()
        AND waiting.channel = any($3::text[])
        AND NOT EXISTS (
            SELECT 1 FROM alert_deliveries AS earlier
            WHERE
                earlier.alert_id = waiting.alert_id
                AND earlier.channel = waiting.channel
                AND earlier.delivery_id < waiting.delivery_id
                AND earlier.delivered_at IS null
                AND earlier.abandoned_at IS null
        )
    ORDER BY waiting.delivery_id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS due, alerts
WHERE claimed.delivery_id = due.delivery_id AND alerts.alert_id = claimed.alert_id
RETURNING
    claimed.delivery_id, claimed.event, claimed.channel, claimed.idempotency_key::text AS idempotency_key,
    claimed.attempts,
    alerts.alert_id, alerts.kind, alerts.subject, alerts.opening, alerts.severity, alerts.summary,
    alerts.runbook, alerts.occurrences, alerts.opened_at, alerts.last_seen_at, alerts.resolved_at,
    alerts.resolved_by, alerts.resolution;

-- name: confirm_delivery
-- Record that a receiver has confirmed a delivery.
UPDATE alert_deliveries SET delivered_at = now(), last_error = null
WHERE delivery_id = $1 AND delivered_at IS null AND abandoned_at IS null;

-- name: postpone_delivery
-- Record why an attempt failed and try again after so many seconds.
UPDATE alert_deliveries SET due_at = now() + make_interval(secs => $2), last_error = $3
WHERE delivery_id = $1 AND delivered_at IS null AND abandoned_at IS null;

-- name: abandon_delivery
-- Record why the last attempt failed and try no more.
UPDATE alert_deliveries SET abandoned_at = now(), last_error = $2
WHERE delivery_id = $1 AND delivered_at IS null AND abandoned_at IS null;

-- name: read_deliveries
-- What was told, or is to be told, about an alert.
SELECT
    event,
    channel,
    attempts,
    due_at,
    delivered_at,
    abandoned_at,
    last_error,
    idempotency_key::text AS idempotency_key
FROM alert_deliveries
WHERE alert_id = $1
ORDER BY delivery_id;
