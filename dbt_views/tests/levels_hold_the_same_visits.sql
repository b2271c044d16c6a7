-- A visit counts once on every level: no row when individual, category and fleet tables agree.
select
    level,
    sum(visits) as visits
from {{ ref('q_values_long') }}
group by level
having
    sum(visits) <> (
        select coalesce(sum(visits), 0)
        from {{ ref('q_values_long') }}
        where level = 'individual'
    )
