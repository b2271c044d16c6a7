-- Statistics windows, one row for each (agent, window).
select
    agent,
    window_index,
    first_experience_id,
    last_experience_id,
    episodes,
    experiences,
    mean_return,
    reward_mean,
    reward_sd,
    success_rate,
    exploration_rate,
    mean_abs_q_change,
    bellman_residual,
    greedy_churn,
    states_visited,
    verdict,
    reason
from {{ source('qe', 'learning_stats') }}
