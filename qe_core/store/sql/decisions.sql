-- name: claim_decision
-- Reserve a decision for one flush; answers the table's version at which it was recorded already, if it was.
SELECT claim_decision($1::int, $2::bigint, $3::text, $4::int, $5::uuid) AS recorded_version;
