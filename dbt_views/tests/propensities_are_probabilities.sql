-- No row when every action was chosen with a probability above 0 and at most 1.
select
    experience_id,
    propensity
from {{ ref('stg_experiences') }}
where propensity <= 0 or propensity > 1
