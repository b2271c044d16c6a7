-- No row when every debit carries the sum of all debits up to it, and none is beyond the limit.
with sums as (
    select
        entry_number,
        spent_nano_rho,
        left_nano_rho,
        sum(nano_rho) over (order by entry_number) as added_up
    from {{ ref('privacy_budget') }}
)

select *
from sums
where spent_nano_rho <> added_up or left_nano_rho < 0
