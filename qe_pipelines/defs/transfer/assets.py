"""An asset for each similarity group: what its agents told each other, as priors in their own tables.

What belongs here: the assets and what they show. What does not: passing itself (`passing`).
"""

from collections.abc import Sequence

import dagster as dg

from qe_core.config import load_settings
from qe_core.fleet import registry
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.defs.transfer.passing import Passed, members_of, pass_on
from qe_pipelines.partitions import transfer_key
from qe_pipelines.resources import FleetDatabase, FleetSettings

REPORT_HEADER = (
    "| to | from | offered | in doubt | taken | kept own | mean size, points | following gains, points | "
    "judged by | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


def transfer_asset(group: str, members: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset of one group; it depends on the tables of its members alone."""

    @dg.asset(
        key=transfer_key(group),
        deps=[
            dg.AssetDep(
                "individual_q_table", partition_mapping=dg.SpecificPartitionsPartitionMapping(list(members))
            )
        ],
        group_name=Stage.Q_TABLES,
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"What {', '.join(members)} told each other: priors without visits, taken back where "
        "following them would lose points.",
    )
    async def transferred_priors(
        database: FleetDatabase, settings: FleetSettings
    ) -> dg.MaterializeResult[None]:
        """Write each member's priors as its partners' tables determine them."""
        values = settings.values
        manager = TransferLearningManager.of(registry(), values)
        async with database.store() as store:
            passed = [await pass_on(store, contract, values) for contract in members_of(manager, group)]
        return dg.MaterializeResult(metadata=metadata_of(passed))

    return transferred_priors


def metadata_of(passed: Sequence[Passed]) -> dict[str, dg.MetadataValue]:
    """Return what there is to see of the transfers inside a group."""
    reports = [report for one in passed for report in one.outcome.reports]
    harmful = [f"{report.target} from {report.source}" for report in reports if report.refused_because]
    return {
        "pairs taken": dg.MetadataValue.int(sum(report.pairs_taken for report in reports)),
        "pairs offered": dg.MetadataValue.int(sum(report.pairs_offered for report in reports)),
        "undone as harmful": dg.MetadataValue.json(harmful),
        "rows written": dg.MetadataValue.int(sum(one.result.rows_written for one in passed)),
        "report": dg.MetadataValue.md(REPORT_HEADER + "".join(_lines(passed))),
    }


def _lines(passed: Sequence[Passed]) -> list[str]:
    lines = []
    for one in passed:
        for report in one.outcome.reports:
            gain = one.outcome.gains[report.source]
            followed = f"{gain.gain:+.1f} ± {gain.error:.1f}" if gain.states else "–"
            judged = f"{gain.visits} experiences in {gain.states} states"
            verdict = report.refused_because or "harmless so far"
            lines.append(
                f"| {report.target} | {report.source} | {report.pairs_offered} | {report.pairs_doubtful} | "
                f"{report.pairs_taken} | {report.pairs_kept} | {report.mean_absolute_prior:.1f} | "
                f"{followed} | {judged} | {verdict} |\n"
            )
    return lines


transferred = [
    transfer_asset(group, [member.name for member in members])
    for group, members in TransferLearningManager.of(registry(), load_settings().values).groups.items()
]
"""The assets of all groups, those of the settings included."""
