"""The report of the fleet, as the catalogue shows it.

What belongs here: the asset `fleet_report`. What does not: the HTML report of the command line, and figures
of its own: everything is read from the database.
"""

import dagster as dg

from qe_core.fleet import registry
from qe_core.runtime.table_declarations import fleet_table, load_tables
from qe_core.store import AgentStatus, TableSummary
from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.partitions import category_key
from qe_pipelines.pictures import q_value_picture
from qe_pipelines.resources import FleetDatabase


@dg.asset(
    deps=["fleet_q_table", "convergence_statistics"],
    group_name=Stage.REPORTING,
    owners=OWNERS,
    kinds={"python"},
)
async def fleet_report(database: FleetDatabase) -> dg.MaterializeResult[None]:
    """Every agent and table on one page: what was experienced, what was learned, and the verdicts."""
    async with database.store() as store:
        agents, tables = await store.status(), await store.q_tables.list_tables()
        [fleet] = await load_tables(store, [fleet_table()])
    verdicts = [line.convergence for line in agents]
    return dg.MaterializeResult(
        metadata={
            "agents": dg.MetadataValue.md(agent_table(agents)),
            "tables": dg.MetadataValue.md(q_table_table(tables)),
            "converged": verdicts.count("converged"),
            "experiences": sum(line.experiences for line in agents),
            "fleet Q-values": q_value_picture(fleet.table),
            **{
                f"{category} table": dg.MetadataValue.asset(category_key(category))
                for category in {contract.category for contract in registry()}
            },
        }
    )


def agent_table(lines: list[AgentStatus]) -> str:
    """Return a Markdown table with one row for each agent."""
    rows = [
        f"| {line.agent} | {line.episodes:,} | {line.experiences:,} | {line.updates:,} "
        f"| {line.states_visited:,} | {line.convergence} |"
        for line in lines
    ]
    return "\n".join(
        [
            "| agent | episodes | experiences | updates | states | verdict |",
            "|---|--:|--:|--:|--:|---|",
            *rows,
        ]
    )


def q_table_table(lines: list[TableSummary]) -> str:
    """Return a Markdown table with one row for each Q-table."""
    rows = [
        f"| {line.level} | {line.name} | {line.states:,} | {line.updates:,} | {line.version} "
        f"| {line.publications} | {line.publication_conflicts} |"
        for line in lines
    ]
    head = "| level | name | states | updates | version | rebuilt | recomputed after a conflict |"
    return "\n".join([head, "|---|---|--:|--:|--:|--:|--:|", *rows])
