-- What each release cost in privacy and what was left after it, one row each.
with parts as (
    select
        release_id,
        sum(octet_length(part)) as payload_bytes
    from {{ source('qe', 'release_parts') }}
    group by release_id
),

chunks as (
    select
        release_id,
        count(*) as chunks
    from {{ ref('stg_released_chunks') }}
    group by release_id
)

select
    ledger.entry_number,
    ledger.release_id,
    releases.state,
    releases.protected_unit,
    releases.privacy_epsilon,
    releases.privacy_delta,
    releases.agents,
    ledger.nano_rho,
    ledger.spent_nano_rho,
    ledger.lifetime_nano_rho,
    ledger.debited_at,
    releases.sent_at,
    releases.withdrawn_because,
    ledger.lifetime_nano_rho - ledger.spent_nano_rho as left_nano_rho,
    ledger.spent_nano_rho::float8 / ledger.lifetime_nano_rho as spent_share,
    coalesce(parts.payload_bytes, 0)::bigint as payload_bytes,
    coalesce(chunks.chunks, 0)::bigint as chunks
from {{ source('qe', 'privacy_ledger') }} as ledger
left join {{ ref('stg_team_releases') }} as releases on ledger.release_id = releases.release_id
left join parts on ledger.release_id = parts.release_id
left join chunks on ledger.release_id = chunks.release_id
