-- Units of A/B tests, one row each; those without an outcome yet have no reward.
select
    experiment_id,
    unit,
    stage,
    arm,
    policy_version,
    assigned_at,
    cluster,
    reward,
    is_success,
    cost,
    duration_seconds,
    recorded_at
from {{ source('qe', 'ab_units') }}
