"""`qe train`: let agents play episodes, store what they experience and learn from it.

What belongs here: arguments and what is said afterwards. What does not: playing and storing
(`qe_core.runtime.training`), learning (`qe_pipelines`).
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from qe_core.cli.graph_progress import materialize_shown
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import ReportProgress, progress_shown, show_table

if TYPE_CHECKING:
    from qe_core.fleet.contract import AgentContract
    from qe_core.runtime.training import TrainingReport

DEFAULT_EPISODES = 100


def train(
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="NAME", help="Who plays; repeat for several. All by default."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes each agent plays.")] = DEFAULT_EPISODES,
    world_seed: Annotated[int, typer.Option(min=0, help="Which world of an agent's simulated family.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the session; the first unused one by default.")
    ] = None,
    is_fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Play as if nothing was known, instead of continuing from the Q-table."),
    ] = False,
    is_only_tables: Annotated[
        bool,
        typer.Option("--only-tables", help="Play nothing; only rebuild the tables from what is stored."),
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print the sessions as JSON.")] = False,
) -> None:
    """Play episodes that plan on what was seen, store the experiences, rebuild the Q-tables from them.

    Agents play in their simulated world; test-generator plays sessions over the recorded outcomes of real
    test generators on the training packages. A session with the same agent, world, seed and number of
    episodes is played once: asking again adds nothing.

    Examples:
        qe train
        qe train --agent test-executor --agent quality-gate --episodes 1000
        qe train --agent chaos-engineer --world-seed 7 --seed 3
        qe train --only-tables               after qe import
    """
    from qe_core.fleet import registry  # keeps `qe --help` quick
    from qe_core.runtime.sessions import has_environment

    fleet = registry()
    chosen = [fleet.get(name) for name in agents or ()]
    reports = []
    if not is_only_tables:
        players = chosen or [contract for contract in fleet if has_environment(contract)]
        reports = wait_for(_train(players, episodes, world_seed, seed, is_fresh))
    wait_for(materialize_shown([contract.name for contract in chosen]))
    if is_json:
        typer.echo(json.dumps([_as_json(report) for report in reports], indent=2))
    elif reports:
        _show(reports)


async def _train(
    contracts: list["AgentContract"], episodes: int, world_seed: int, seed: int | None, is_fresh: bool
) -> list["TrainingReport"]:
    from qe_core.config import load_settings
    from qe_core.runtime.identity import identity_of
    from qe_core.runtime.parameters import adjusted
    from qe_core.runtime.sessions import play_of, source_of
    from qe_core.runtime.training import TrainingPlan, next_seed
    from qe_core.runtime.training import train as train_agent

    settings = load_settings().values
    reports = []
    async with opened_store(identity_of(settings)) as store:
        with progress_shown() as progress:
            for number, contract in enumerate(contracts):
                _tell(progress, contract.name, number, len(contracts))
                chosen = await next_seed(store, contract.name, world_seed) if seed is None else seed
                plan = TrainingPlan(contract.name, episodes, world_seed, chosen, is_continuing=not is_fresh)
                adjustment = await store.adjustments.present(contract.name)
                play = play_of(contract, world_seed, adjusted(settings, adjustment))
                reports.append(await train_agent(store, contract, plan, source_of(contract), play))
    return reports


def _tell(progress: ReportProgress, agent: str, number: int, total: int) -> None:
    progress("playing", number, total)
    progress(f"  {agent}", 0, None)


def _show(reports: list["TrainingReport"]) -> None:
    rows = [
        (
            report.plan.agent,
            report.source,
            report.plan.world_seed,
            report.plan.seed,
            f"{report.plan.episodes:,}",
            "played before: nothing new" if report.is_repeated else f"{report.experiences_new:,}",
        )
        for report in reports
    ]
    headings = ["agent", "environment", "world", "seed", "episodes", "new experiences"]
    show_table("Sessions", headings, rows, right="world, seed, episodes, new experiences")


def _as_json(report: "TrainingReport") -> dict[str, str | int | bool]:
    return {
        "agent": report.plan.agent,
        "source": report.source,
        "episodes": report.plan.episodes,
        "world_seed": report.plan.world_seed,
        "seed": report.plan.seed,
        "experiences_new": report.experiences_new,
        "is_repeated": report.is_repeated,
    }
