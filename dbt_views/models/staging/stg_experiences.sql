-- The log of transitions, one row each.
select
    experience_id,
    occurred_at,
    agent,
    source,
    episode,
    step,
    state,
    action,
    reward,
    next_state,
    terminated,
    truncated,
    propensity,
    exploration_rate,
    success,
    policy_version,
    fingerprint
from {{ source('qe', 'learning_experiences') }}
