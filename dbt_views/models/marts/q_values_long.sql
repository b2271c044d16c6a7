-- Every learned value, one row for each (table, state, action) with evidence or a value.
select
    q_tables.level,
    q_tables.name,
    q_values.state,
    entry.action_column,
    q_tables.action_names[entry.action_column] as action_name,
    entry.q,
    entry.visits,
    entry.target_mean,
    entry.weight,
    sqrt(entry.target_m2 / greatest(entry.visits, 1)) as target_sd,
    entry.weight / greatest(entry.visits, 1) as confidence
from {{ ref('stg_q_tables') }} as q_tables
inner join {{ source('qe', 'q_values') }} as q_values
    on q_tables.q_table_id = q_values.q_table_id
cross join
    unnest(
        q_values.q, q_values.visits, q_values.target_mean, q_values.target_m2, q_values.weights
    ) with ordinality as entry (q, visits, target_mean, target_m2, weight, action_column)
where entry.visits > 0 or entry.q <> 0
