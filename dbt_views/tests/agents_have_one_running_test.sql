-- No row when no agent has two tests running: their arms would mix.
select
    agent,
    count(*) as running
from {{ ref('ab_tests') }}
where is_running
group by agent
having count(*) > 1
