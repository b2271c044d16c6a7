-- What the team knows about each agent as it is in use here, one row each.
select
    current_tables.agent,
    current_tables.version,
    current_tables.pulled_at,
    cardinality(current_tables.pair) as pairs_known,
    current_tables.state_count::bigint * current_tables.action_count as pairs,
    (select coalesce(sum(worth), 0) from unnest(current_tables.visits) as worth)::bigint as effective_visits,
    (select coalesce(avg(each_error), 0) from unnest(current_tables.error) as each_error) as mean_error_points
from {{ source('qe', 'current_team_tables') }} as current_tables
inner join {{ ref('stg_q_tables') }} as tables
    on
        current_tables.agent = tables.name
        and current_tables.fingerprint = tables.fingerprint
        and tables.level = 'individual'
