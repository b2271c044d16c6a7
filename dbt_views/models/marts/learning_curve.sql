-- What each episode brought and the mean of the last 50, one row for each (agent, episode).
with episodes as (
    select
        agent,
        source,
        episode,
        min(occurred_at) as started_at,
        max(experience_id) as last_experience_id,
        count(*) as steps,
        sum(reward) as total_reward,
        bool_or(success) as is_success
    from {{ ref('stg_experiences') }}
    group by agent, source, episode
)

select
    agent,
    source,
    episode,
    started_at,
    steps,
    total_reward,
    is_success,
    row_number() over in_order as episode_index,
    avg(total_reward) over (in_order rows between 49 preceding and current row) as mean_return_50
from episodes
window in_order as (partition by agent order by last_experience_id)
