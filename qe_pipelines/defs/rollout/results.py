"""What every running A/B test amounts to, among all of them.

What belongs here: the asset `ab_results`. What does not: the statistics (`qe_core.rollout`), and what follows
for the rollouts (`state`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from qe_core.rollout.differences import Difference
from qe_core.runtime.rollout.ab_testing import ABTestingFramework, Analysis
from qe_core.store.ab_tests import StoredAnalysis
from qe_pipelines.catalogue import AB_ANALYSIS_COLUMNS, OWNERS, Stage
from qe_pipelines.pictures import EffectLook, effect_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings


@dg.asset(
    deps=["policy_snapshots", "experiences"],
    group_name=Stage.ROLLOUT,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=AB_ANALYSIS_COLUMNS,
)
async def ab_results(database: FleetDatabase, settings: FleetSettings) -> dg.MaterializeResult[None]:
    """Every running A/B test judged: effect, interval, verdict and what is still missing.

    A promotion has to hold among all agents tested at once (Benjamini and Hochberg, on e-values).
    """
    async with database.store() as store:
        found = await ABTestingFramework(store, settings.values).analyse_running(datetime.now(UTC))
        looks = {
            one.test.experiment_id: await store.ab_tests.analyses(one.test.experiment_id) for one in found
        }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "running tests": dg.MetadataValue.md(result_table(found)),
            "sample ratios, guardrails": dg.MetadataValue.md(condition_list(found)),
            **{
                f"effect, {one.test.agent}": effect_picture(
                    [*past_looks(looks[one.test.experiment_id]), *present_look(one)]
                )
                for one in found
                if one.judgement.difference is not None
            },
        }
    )


def result_table(found: Sequence[Analysis]) -> str:
    """Return a Markdown table with one row for each running test."""
    head = (
        "| agent | stage | verdict | units, candidate / stable | effect, points | always-valid interval | "
        "Cohen's d | p at one look | power | days to go | why |"
    )
    rows = [_row(one) for one in found]
    return "\n".join([head, "|---|--:|---|--:|--:|---|--:|--:|--:|--:|---|", *rows])


def _row(one: Analysis) -> str:
    said = one.judgement
    difference = said.difference or Difference()
    cells = [
        one.test.agent,
        f"{one.test.stage:d} %",
        said.verdict.value,
        f"{difference.treated:,} / {difference.untreated:,}",
        _figure(None if said.difference is None else difference.estimate),
        f"{_figure(said.lower)} to {_figure(said.upper)}",
        _figure(None if said.effect is None else said.effect.cohens_d),
        _figure(difference.p_value),
        f"{said.power:.0%}",
        _figure(said.days_to_go),
        "; ".join(said.reasons),
    ]
    return f"| {' | '.join(cells)} |"


def condition_list(found: Sequence[Analysis]) -> str:
    """Return as Markdown what must hold beside the effect: counts and guardrails of each test."""
    lines = []
    for one in found:
        said = one.judgement
        sentences = [count.sentence for count in said.counts] + [rail.sentence for rail in said.guardrails]
        lines += [f"- {one.test.agent}: {sentence}" for sentence in sentences]
    return "\n".join(lines) or "no test is running"


def past_looks(kept: Sequence[StoredAnalysis]) -> list[EffectLook]:
    """Return effect and interval at each look that was kept, the first one first."""
    found = []
    for look in kept:
        said: dict[str, Any] = look.analysis.get("judgement") or {}
        difference = said.get("difference")
        if difference and said["lower"] is not None and said["upper"] is not None:
            units = difference["treated"] + difference["untreated"]
            found.append(EffectLook(units, difference["estimate"], said["lower"], said["upper"]))
    return found


def present_look(one: Analysis) -> list[EffectLook]:
    """Return effect and interval now; nothing where there is no interval yet."""
    said = one.judgement
    if said.difference is None or said.lower is None or said.upper is None:
        return []
    units = said.difference.treated + said.difference.untreated
    return [EffectLook(units, said.difference.estimate, said.lower, said.upper)]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
