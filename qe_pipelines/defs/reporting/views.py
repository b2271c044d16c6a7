"""The views people, dashboards and the catalogue read, made and tested by dbt.

What belongs here: dbt's models as assets and its tests as asset checks. What does not: SQL, which is in the
dbt project, and preparing its manifest (`qe_pipelines.manifest`).
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets
from packaging.version import Version

from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.manifest import DBT, PARTIAL_PARSE, PROJECT, dbt_cache, dbt_environment, prepared_manifest
from qe_pipelines.resources import FleetDatabase

SOURCES = {
    "learning_experiences": dg.AssetKey("experiences"),
    "q_tables": dg.AssetKey("fleet_q_table"),
    "q_values": dg.AssetKey("fleet_q_table"),
    "learning_stats": dg.AssetKey("convergence_statistics"),
    "alerts": dg.AssetKey("convergence_statistics"),
    "policy_versions": dg.AssetKey("policy_snapshots"),
    "table_snapshots": dg.AssetKey("policy_snapshots"),
    "ab_units": dg.AssetKey("ab_results"),
    "ab_analyses": dg.AssetKey("rollout_state"),
    "ab_tests": dg.AssetKey("rollout_state"),
    "policy_aliases": dg.AssetKey("rollout_state"),
    "agent_modes": dg.AssetKey("rollout_state"),
    "policy_history": dg.AssetKey("rollout_state"),
    "rollback_events": dg.AssetKey("rollback_events"),
    "excluded_experiences": dg.AssetKey("rollback_events"),
    "refused_flushes": dg.AssetKey("rollback_events"),
    "team_releases": dg.AssetKey("team_contribution"),
    "release_parts": dg.AssetKey("team_contribution"),
    "released_chunks": dg.AssetKey("team_contribution"),
    "privacy_ledger": dg.AssetKey("team_contribution"),
    "current_team_tables": dg.AssetKey("team_knowledge"),
    "team_sync_log": dg.AssetKey("team_knowledge"),
}
"""Which asset fills each table the views read; the last one to do so where there are several."""


class ViewTranslator(DagsterDbtTranslator):
    """Names dbt's views and their sources as the rest of the graph does."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the key of a view, or of the asset that fills a source."""
        if dbt_resource_props["resource_type"] == "source":
            return SOURCES[dbt_resource_props["name"]]
        return dg.AssetKey(["views", dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - the same for all
        """Return the last stage's group."""
        return Stage.REPORTING

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 - the same for all
        """Return the graph's owners."""
        return OWNERS


class InstalledDbt(DbtCliResource):
    """The dbt installed beside Dagster, asked for nothing but what it is run for.

    The resource it extends also starts dbt to learn its version and loads it a second time into this
    process, to query the warehouse through it: seconds in every run, for what is known or not used here.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:  # noqa: ARG002 - the parent's signature
        return None


@dbt_assets(
    manifest=prepared_manifest(),
    dagster_dbt_translator=ViewTranslator(
        settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
    ),
    name="views",
)
def views(context: dg.AssetExecutionContext, database: FleetDatabase) -> Iterator[Any]:
    """Create the selected views and run their tests, or the tests alone, in a directory that goes away."""
    cache = dbt_cache()
    cache.mkdir(parents=True, exist_ok=True)
    os.environ.update(dbt_environment(database.resolved_url))
    dbt = InstalledDbt(project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=str(DBT))
    with TemporaryDirectory(dir=cache) as target:
        kept = cache / PARTIAL_PARSE
        if kept.exists():
            shutil.copy(kept, target)
        command = "build" if context.selected_asset_keys else "test"
        yield from dbt.cli([command], context=context, target_path=Path(target)).stream()
        (Path(target) / PARTIAL_PARSE).replace(kept)
