-- The whole fleet in one row.
with agents as (
    select
        count(*) as agents,
        coalesce(sum(experiences), 0) as experiences,
        coalesce(sum(episodes), 0) as episodes,
        count(*) filter (where convergence = 'converged') as agents_converged
    from {{ ref('agent_health') }}
),

categories as (
    select count(*) as categories
    from {{ ref('category_summary') }}
),

fleet as (
    select
        coalesce(sum(visits), 0) as fleet_visits,
        coalesce(sum(weight), 0) as fleet_weight,
        count(distinct state) as fleet_states_with_evidence
    from {{ ref('q_values_long') }}
    where level = 'fleet'
)

select
    agents.agents,
    agents.experiences,
    agents.episodes,
    agents.agents_converged,
    categories.categories,
    fleet.fleet_visits,
    fleet.fleet_weight,
    fleet.fleet_states_with_evidence
from agents
cross join categories
cross join fleet
