-- The newest statistics window of each agent and how long its verdict has held.
with ordered as (
    select
        *,
        row_number() over (partition by agent order by window_index desc) as age
    from {{ ref('stg_learning_stats') }}
),

newest as (
    select *
    from ordered
    where age = 1
),

held as (
    select
        ordered.agent,
        min(ordered.age) filter (where ordered.verdict <> newest.verdict) - 1 as windows_before_change,
        count(*) as windows
    from ordered
    inner join newest on ordered.agent = newest.agent
    group by ordered.agent
)

select
    newest.agent,
    newest.verdict,
    newest.reason,
    held.windows,
    newest.mean_return,
    newest.reward_sd,
    newest.success_rate,
    newest.exploration_rate,
    newest.mean_abs_q_change,
    newest.bellman_residual,
    newest.greedy_churn,
    newest.states_visited,
    coalesce(held.windows_before_change, held.windows) as windows_with_this_verdict
from newest
inner join held on newest.agent = held.agent
