-- No row when releases and debits are one to one, at the same price.
select
    releases.release_id as released,
    budget.release_id as paid
from {{ ref('stg_team_releases') }} as releases
full join {{ ref('privacy_budget') }} as budget on releases.release_id = budget.release_id
where
    releases.release_id is null
    or budget.release_id is null
    or budget.state is null
    or releases.nano_rho <> budget.nano_rho
