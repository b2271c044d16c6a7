-- Every opening of an alert, and for how long it was open.
select
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
    resolution,
    resolved_at is null as is_open,
    extract(epoch from coalesce(resolved_at, now()) - opened_at) / 3600.0 as open_hours
from {{ source('qe', 'alerts') }}
