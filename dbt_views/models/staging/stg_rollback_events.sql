-- Rollbacks, one row each.
select
    rollback_id,
    agent,
    mode,
    trigger,
    evidence,
    rolled_back_by,
    from_version,
    to_version,
    served_version,
    q_table_id,
    epoch_before,
    rows_written,
    rows_removed,
    is_log_complete,
    stopped_test,
    happened_at
from {{ source('qe', 'rollback_events') }}
