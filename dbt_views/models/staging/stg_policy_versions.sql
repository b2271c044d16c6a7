-- Policy versions of today's contracts, one row each.
select
    versions.number,
    versions.agent,
    versions.reason,
    versions.created_by,
    versions.created_at,
    own.states,
    own.visits,
    own.rows_stored,
    own.table_version
from {{ source('qe', 'policy_versions') }} as versions
inner join {{ source('qe', 'table_snapshots') }} as own on versions.own_snapshot = own.snapshot_id
inner join {{ ref('stg_q_tables') }} as tables on own.q_table_id = tables.q_table_id
