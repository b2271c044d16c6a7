-- One row for each agent: what it has done, what its table holds and how its learning stands.
with activity as (
    select
        agent,
        count(*) as episodes,
        sum(steps) as experiences,
        avg(total_reward) as mean_return,
        avg(is_success::int) as success_rate,
        max(started_at) as last_episode_at
    from {{ ref('learning_curve') }}
    group by agent
),

tables as (
    select
        name as agent,
        count(distinct state) as states_visited,
        sum(visits) as updates,
        avg(confidence) as mean_confidence
    from {{ ref('q_values_long') }}
    where level = 'individual' and visits > 0
    group by name
)

select
    activity.agent,
    activity.experiences,
    activity.episodes,
    activity.mean_return,
    activity.success_rate,
    activity.last_episode_at,
    tables.mean_confidence,
    coalesce(tables.updates, 0) as updates,
    coalesce(tables.states_visited, 0) as states_visited,
    coalesce(convergence.verdict, 'insufficient data') as convergence
from activity
left join tables on activity.agent = tables.agent
left join {{ ref('convergence') }} as convergence on activity.agent = convergence.agent
