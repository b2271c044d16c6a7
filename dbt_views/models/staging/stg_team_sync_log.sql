-- What passed between this database and its team, one row each.
select
    entry_id,
    kind,
    logged_by,
    details,
    logged_at
from {{ source('qe', 'team_sync_log') }}
