-- What passed between this database and its team, by day and kind.
select
    kind,
    (logged_at at time zone 'UTC')::date as day,
    count(*) as entries,
    min(logged_at) as first_at,
    max(logged_at) as last_at
from {{ ref('stg_team_sync_log') }}
group by kind, day
