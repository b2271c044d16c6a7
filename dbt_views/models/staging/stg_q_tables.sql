-- The current table of each name, one row each.
select
    q_table_id,
    level,
    name,
    fingerprint,
    state_count,
    action_names,
    version,
    updated_at
from {{ source('qe', 'q_tables') }}
where is_current
