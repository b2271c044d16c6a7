-- Which release took which part of the log, one row each.
select
    chunk_id,
    agent,
    release_id,
    closed_by
from {{ source('qe', 'released_chunks') }}
