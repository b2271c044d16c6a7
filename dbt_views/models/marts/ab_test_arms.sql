-- What came of each arm of each test at each stage, one row each, beside the control of the same stage.
with arms as (
    select
        experiment_id,
        stage,
        arm,
        min(policy_version) as policy_version,
        count(distinct policy_version) as policy_versions,
        count(*) as units_assigned,
        count(reward) as units_recorded,
        count(distinct cluster) as clusters,
        avg(reward) as mean_reward,
        var_samp(reward) as reward_variance,
        avg(is_success::int) as success_rate,
        avg(cost) as mean_cost,
        avg(duration_seconds) as mean_duration_seconds,
        min(assigned_at) as first_assigned_at,
        max(recorded_at) as last_recorded_at
    from {{ ref('stg_ab_units') }}
    group by experiment_id, stage, arm
)

select
    arms.experiment_id,
    tests.agent,
    arms.stage,
    arms.arm,
    arms.policy_version,
    arms.policy_versions,
    arms.units_assigned,
    arms.units_recorded,
    arms.clusters,
    arms.mean_reward,
    arms.success_rate,
    arms.mean_cost,
    arms.mean_duration_seconds,
    arms.first_assigned_at,
    arms.last_recorded_at,
    tests.verdict,
    sqrt(arms.reward_variance) as reward_sd,
    arms.mean_reward - controls.mean_reward as difference,
    sqrt(
        arms.reward_variance / nullif(arms.units_recorded, 0)
        + controls.reward_variance / nullif(controls.units_recorded, 0)
    ) as difference_standard_error
from arms
inner join {{ ref('ab_tests') }} as tests on arms.experiment_id = tests.experiment_id
left join arms as controls
    on
        arms.experiment_id = controls.experiment_id
        and arms.stage = controls.stage
        and arms.arm = 'treatment'
        and controls.arm = 'control'
