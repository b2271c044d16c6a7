-- Each A/B test with what the last look at it said, one row each.
with looks as (
    select
        *,
        row_number() over (partition by experiment_id order by analysis_id desc) as age,
        count(*) over (partition by experiment_id) as looks
    from {{ source('qe', 'ab_analyses') }}
    where analysis -> 'judgement' is not null
),

units as (
    select
        experiment_id,
        count(*) as units_assigned,
        count(reward) as units_recorded
    from {{ ref('stg_ab_units') }}
    group by experiment_id
)

select
    tests.experiment_id,
    tests.agent,
    tests.key,
    tests.unit_kind,
    tests.control_version,
    tests.treatment_version,
    tests.stage,
    tests.hold_out,
    tests.started_by,
    tests.why,
    tests.started_at,
    tests.ended_at,
    tests.verdict as end_verdict,
    newest.verdict as look_verdict,
    newest.analysed_at,
    tests.verdict is null as is_running,
    coalesce(tests.verdict, newest.verdict, 'not analysed yet') as verdict,
    (newest.analysis #>> '{judgement,difference,estimate}')::float8 as effect,
    (newest.analysis #>> '{judgement,lower}')::float8 as effect_lower,
    (newest.analysis #>> '{judgement,upper}')::float8 as effect_upper,
    (newest.analysis #>> '{judgement,effect,cohens_d}')::float8 as cohens_d,
    (newest.analysis #>> '{judgement,effect,hedges_g}')::float8 as hedges_g,
    (newest.analysis #>> '{judgement,e_benefit}')::float8 as evidence_of_benefit,
    (newest.analysis #>> '{judgement,e_harm}')::float8 as evidence_of_harm,
    (newest.analysis #>> '{judgement,power}')::float8 as power,
    (newest.analysis #>> '{judgement,days_to_go}')::float8 as days_to_go,
    (newest.analysis #>> '{judgement,reasons,0}') as reason,
    coalesce(newest.looks, 0) as looks,
    coalesce(units.units_assigned, 0) as units_assigned,
    coalesce(units.units_recorded, 0) as units_recorded
from {{ source('qe', 'ab_tests') }} as tests
left join looks as newest on tests.experiment_id = newest.experiment_id and newest.age = 1
left join units on tests.experiment_id = units.experiment_id
