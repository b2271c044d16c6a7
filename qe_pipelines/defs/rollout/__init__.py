"""Which policy serves, and why: versions, A/B tests, staged rollout, rollback."""
