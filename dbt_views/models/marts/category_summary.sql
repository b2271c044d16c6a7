-- What each category knows and which approach it values most, one row for each category.
with approaches as (
    select
        name,
        action_name,
        sum(visits) as visits,
        sum(weight) as weight,
        sum(weight * q) / nullif(sum(weight), 0) as mean_q
    from {{ ref('q_values_long') }}
    where level = 'category'
    group by name, action_name
),

ranked as (
    select
        *,
        row_number() over (partition by name order by mean_q desc nulls last, action_name asc) as place
    from approaches
),

states as (
    select
        name,
        count(distinct state) as states_with_evidence
    from {{ ref('q_values_long') }}
    where level = 'category'
    group by name
)

select
    ranked.name as category,
    states.states_with_evidence,
    sum(ranked.visits) as visits,
    sum(ranked.weight) as weight,
    max(ranked.action_name) filter (where ranked.place = 1) as best_approach,
    max(ranked.mean_q) filter (where ranked.place = 1) as best_mean_q
from ranked
inner join states on ranked.name = states.name
group by ranked.name, states.states_with_evidence
