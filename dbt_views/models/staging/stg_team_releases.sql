-- Releases to the team, one row each.
select
    release_id,
    nano_rho,
    made_at,
    sent_at,
    withdrawn_at,
    withdrawn_because,
    header ->> 'protected_unit' as protected_unit,
    (header ->> 'pairs')::int as pairs,
    (header ->> 'clip_bound')::float8 as clip_bound,
    (header ->> 'privacy_epsilon')::float8 as privacy_epsilon,
    (header ->> 'privacy_delta')::float8 as privacy_delta,
    jsonb_array_length(header -> 'agents') as agents,
    case
        when sent_at is not null then 'sent'
        when withdrawn_at is not null then 'withdrawn'
        else 'pending'
    end as state
from {{ source('qe', 'team_releases') }}
