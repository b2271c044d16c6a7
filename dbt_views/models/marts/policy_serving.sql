-- What each agent serves and what stands behind it, one row for each agent with a table.
with newest as (
    select
        agent,
        max(number) as version,
        max(created_at) as frozen_at,
        count(*) as versions
    from {{ ref('stg_policy_versions') }}
    group by agent
),

rollbacks as (
    select
        agent,
        count(*) as rollbacks,
        max(happened_at) as last_rollback_at
    from {{ ref('stg_rollback_events') }}
    group by agent
),

changes as (
    select
        agent,
        max(changed_at) as last_change_at
    from {{ source('qe', 'policy_history') }}
    group by agent
)

select
    tables.name as agent,
    stable.number as stable_version,
    candidate.number as candidate_version,
    modes.since as mode_since,
    tests.experiment_id as running_test,
    tests.stage as running_stage,
    newest.version as newest_version,
    newest.frozen_at as newest_version_at,
    rollbacks.last_rollback_at,
    changes.last_change_at,
    coalesce(modes.mode, 'learning') as mode,
    coalesce(newest.versions, 0) as versions,
    coalesce(rollbacks.rollbacks, 0) as rollbacks
from {{ ref('stg_q_tables') }} as tables
left join {{ source('qe', 'agent_modes') }} as modes on tables.name = modes.agent
left join {{ source('qe', 'policy_aliases') }} as stable
    on tables.name = stable.agent and stable.alias = 'stable'
left join {{ source('qe', 'policy_aliases') }} as candidate
    on tables.name = candidate.agent and candidate.alias = 'candidate'
left join {{ ref('ab_tests') }} as tests on tables.name = tests.agent and tests.is_running
left join newest on tables.name = newest.agent
left join rollbacks on tables.name = rollbacks.agent
left join changes on tables.name = changes.agent
where tables.level = 'individual'
