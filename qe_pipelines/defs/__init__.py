"""The stages of the flow, one folder each with its assets, checks, sensors and schedules."""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")
