-- No row when every agent that serves has a version to serve.
select agent
from {{ ref('policy_serving') }}
where mode = 'serving' and stable_version is null
