-- Every rollback with its evidence, what it cost and what it kept out, one row each.
with excluded as (
    select
        excluded_by as rollback_id,
        sum(experiences) as experiences
    from {{ source('qe', 'excluded_experiences') }}
    group by excluded_by
),

refused as (
    select
        q_table_id,
        epoch as epoch_before,
        count(*) as flushes,
        sum(updates) as updates,
        max(refused_at) as last_refused_at
    from {{ source('qe', 'refused_flushes') }}
    group by q_table_id, epoch
)

select
    events.rollback_id,
    events.agent,
    events.mode,
    events.trigger,
    events.rolled_back_by,
    events.from_version,
    events.to_version,
    events.served_version,
    events.rows_written,
    events.rows_removed,
    events.stopped_test,
    events.is_log_complete,
    events.evidence,
    events.happened_at,
    served.created_at as restored_state_of,
    refused.last_refused_at,
    coalesce(events.evidence ->> 'reason', events.evidence ->> 'why') as reason,
    coalesce(excluded.experiences, 0)::bigint as experiences_excluded,
    coalesce(refused.flushes, 0)::bigint as refused_flushes,
    coalesce(refused.updates, 0)::bigint as refused_updates
from {{ ref('stg_rollback_events') }} as events
left join {{ source('qe', 'policy_versions') }} as served on events.to_version = served.number
left join excluded on events.rollback_id = excluded.rollback_id
left join refused on events.q_table_id = refused.q_table_id and events.epoch_before = refused.epoch_before
