"""The Dagster project: assets, checks, sensors and schedules over the experience log."""
