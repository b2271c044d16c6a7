"""Gates of the check before a test, against exact values: ``python -m tests.off_policy_gates --help``.

What belongs here: playing logs in the simulated worlds, estimating candidates from them, exact values, the
tables. What does not: the estimates and policies themselves (`qe_core.rollout`).

Two gates. Coverage: 95 % intervals hold the exact value at least 95 % of the time, and what has no support is
refused. Safety: over many logs, the worst hundredth of the safely improved policies is not below the
baseline. Values are exact: by backing up the worlds' arrays over as many steps as an episode may have.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track
from statsmodels.stats.proportion import proportion_confint

from qe_core.environments import episode_kernels
from qe_core.environments.catalogue import world_of
from qe_core.environments.planned_play import play_planned
from qe_core.environments.rollouts import EpisodeLog, EpisodeRecorder, play
from qe_core.environments.world import World
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.roster import AGENTS
from qe_core.learning.arrays import Float64Array
from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.learning.finite_mdp import back_up_pairs
from qe_core.rollout.off_policy import Estimator, evaluate
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_policies import tabular_policy
from qe_core.rollout.off_policy_support import support_of
from qe_core.rollout.safe_improvement import safe_improvement
from qe_core.rollout.safe_improvement_check import CandidateVerdict, check_candidate

SERVING_EXPLORATION = 0.1
STABLE_EPISODES = 300
LOG_SIZES = (1_000, 4_000)
IMPROVEMENT_SIZES = (300, 1_000, 3_000)
POLICIES = ("safe improvement", "checked", "greedy")


@dataclass(frozen=True, slots=True)
class Estimated:
    """One candidate judged on one log; without support there are no figures."""

    agent: str
    case: str
    refused: bool
    covered: dict[str, bool]
    width: dict[str, float]


def episode_value(world: World, policy: Float64Array) -> float:
    """Return the exact expected discounted return of an episode of at most the contract's horizon, points."""
    mdp, value = world.mdp, np.zeros(world.state_count)
    chances = policy[mdp.pair_state, mdp.pair_action]
    for _ in range(world.contract.horizon):
        backed_up = back_up_pairs(mdp, value, world.discount_or_own(None))
        value = np.bincount(mdp.pair_state, weights=chances * backed_up, minlength=world.state_count)
    return float(world.start @ value)


def follow(world: World, policy: Float64Array, episodes: int, rng: np.random.Generator) -> LoggedEpisodes:
    """Return episodes in which a fixed policy was followed."""
    recorder, rows = EpisodeRecorder(world, None), np.arange(world.state_count)
    for _ in range(episodes):
        count = episode_kernels.follow_episode(
            rng, *recorder.world_arrays, policy, rows, recorder.integers, recorder.numbers
        )
        recorder.take(count, 0.0)
    nothing = np.zeros(policy.shape)
    return logged(recorder.log(nothing, nothing.astype(np.int64), ExponentialSchedule()))


def logged(log: EpisodeLog) -> LoggedEpisodes:
    """Return a played log as off-policy evaluation takes it."""
    return LoggedEpisodes.from_columns(log.transitions, log.episode, log.step, log.propensity)


def observed(world: World, log: LoggedEpisodes) -> EmpiricalMdp:
    """Return the MDP that a log shows."""
    return EmpiricalMdp.from_transitions(log.transitions, world.state_count, world.action_count)


def greedy_on(world: World, log: LoggedEpisodes, fallback: Float64Array) -> Float64Array:
    """Return the plain greedy policy of a log's exact solution; the fallback where nothing was visited."""
    mdp = observed(world, log)
    solution = solve_empirical_mdp(mdp, world.discount_or_own(None))
    is_seen = (mdp.visits > 0).any(axis=1)
    greedy = np.eye(world.action_count)[np.maximum(solution.policy, 0)]
    return np.where(is_seen[:, np.newaxis], greedy, fallback)


def stable_of(world: World, rng: np.random.Generator) -> tuple[EpisodeLog, Float64Array]:
    """Return a session of `STABLE_EPISODES` and the policy that serves after it, exploring a little."""
    session = play(world, STABLE_EPISODES, rng)
    return session, tabular_policy(session.q, session.visits > 0, SERVING_EXPLORATION)


def candidates(world: World, seed: int) -> Iterator[tuple[str, LoggedEpisodes, Float64Array]]:
    """Yield (case, log, candidate): what is logged in service and in learning, and what might replace it."""
    rng, discount = np.random.default_rng([seed, 1]), world.discount_or_own(None)
    episodes = LOG_SIZES[seed % len(LOG_SIZES)]
    session, stable = stable_of(world, rng)
    later = play(world, 700, rng, q=session.q, visits=session.visits)
    learned = tabular_policy(later.q, later.visits > 0, 0.05)
    earlier, serving = (follow(world, stable, episodes, rng) for _ in range(2))
    yield "serving: its own value", serving, stable
    yield (
        "serving: safe improvement of an earlier log",
        serving,
        safe_improvement(observed(world, earlier), stable, discount),
    )
    yield (
        "serving: safe improvement of the same log",
        serving,
        safe_improvement(observed(world, serving), stable, discount),
    )
    yield "serving: learned elsewhere", serving, learned
    matching = logged(play_planned(world, episodes, rng))
    yield "matching session: its own greedy policy", matching, greedy_on(world, matching, stable)
    yield "matching session: learned elsewhere", matching, learned
    learning = logged(play(world, episodes, rng))
    yield "ε-greedy session: its own greedy policy", learning, greedy_on(world, learning, stable)
    yield "ε-greedy session: learned elsewhere", learning, learned
    certain = tabular_policy(session.q, session.visits > 0)
    fixed = follow(world, certain, episodes, rng)
    yield "without support", fixed, np.roll(certain, 1, axis=1)


def judge(world: World, case: str, log: LoggedEpisodes, candidate: Float64Array) -> Estimated:
    """Return whether the intervals hold the exact value, or that the candidate was refused."""
    support = support_of(log, candidate)
    if support.refusal:
        return Estimated(world.contract.name, case, True, {}, {})
    truth, covered, width = episode_value(world, candidate), {}, {}
    for estimator in Estimator:
        found = evaluate(log, candidate, world.discount_or_own(None), support, estimator).estimate(0.95)
        covered[str(estimator)] = bool(found.lower <= truth <= found.upper)
        width[str(estimator)] = found.upper - found.lower
    return Estimated(world.contract.name, case, False, covered, width)


def coverage(agents: tuple[AgentContract, ...], seeds: range, world_seed: int = 0) -> list[Estimated]:
    """Return every candidate of every agent and seed, judged."""
    return [
        judge(world, *candidate)
        for agent in track(agents, "coverage")
        for world in [world_of(agent, world_seed)]
        for seed in seeds
        for candidate in candidates(world, seed)
    ]


def improvements(
    agent: AgentContract, seeds: range, episodes: int, world_seed: int = 0
) -> dict[str, Float64Array]:
    """Return how much each policy made from a log gains on the baseline, one value per log.

    In shares of what lies between random play and the optimum. The baseline is one fixed policy that serves,
    so its worst hundredth is its exact value: 0 here.
    """
    world = world_of(agent, world_seed)
    discount = world.discount_or_own(None)
    _, stable = stable_of(world, np.random.default_rng([world_seed, 7]))
    floor = world.value_of(stable)
    scale = world.optimal_value() - world.random_value()
    gained: dict[str, list[float]] = {name: [] for name in POLICIES}
    for seed in seeds:
        log = follow(world, stable, episodes, np.random.default_rng([seed, episodes, 3]))
        safe = safe_improvement(observed(world, log), stable, discount)
        is_ready = check_candidate(log, safe, stable, discount).verdict is CandidateVerdict.READY
        made = (safe, safe if is_ready else stable, greedy_on(world, log, stable))
        for name, policy in zip(POLICIES, made, strict=True):
            gained[name].append((world.value_of(policy) - floor) / scale)
    return {name: np.array(values) for name, values in gained.items()}


def worst_mean(values: Float64Array, share: float = 0.01) -> float:
    """Return the mean of the worst share of values, at least one (conditional value at risk)."""
    return float(np.sort(values)[: max(1, round(share * len(values)))].mean())


def coverage_table(results: list[Estimated]) -> list[dict[str, Any]]:
    """Return refusals, coverage with Wilson's interval and median width, by case, by agent and over all."""
    groups = [("case", name, [item for item in results if item.case == name])
              for name in dict.fromkeys(item.case for item in results)]  # fmt: skip
    groups += [("agent", name, [item for item in results if item.agent == name])
               for name in dict.fromkeys(item.agent for item in results)]  # fmt: skip
    table = []
    for kind, name, members in [*groups, ("all", "all", results)]:
        judged = [item for item in members if not item.refused]
        row: dict[str, Any] = {"by": kind, "name": name, "candidates": len(members),
                               "refused": len(members) - len(judged)}  # fmt: skip
        for estimator in map(str, Estimator):
            hits = sum(item.covered[estimator] for item in judged)
            widths = [item.width[estimator] for item in judged]
            low, high = proportion_confint(hits, len(judged), method="wilson") if judged else (0.0, 1.0)
            row[estimator] = {
                "covered": hits / len(judged) if judged else None,
                "wilson": [float(low), float(high)],
                "median_width": float(np.median(widths)) if judged else None,
            }
        table.append(row)
    return table


def safety_table(gains: dict[int, dict[str, dict[str, Float64Array]]]) -> list[dict[str, Any]]:
    """Return mean and worst gains by log size and policy, given gains by size, agent and policy."""
    table = []
    for episodes, by_agent in gains.items():
        for name in POLICIES:
            pooled = np.concatenate([by_agent[agent][name] for agent in by_agent])
            worst_of = {agent: worst_mean(by_agent[agent][name]) for agent in by_agent}
            lowest = min(worst_of, key=lambda agent: worst_of[agent])
            table.append(
                {
                    "episodes": episodes, "policy": name, "logs": len(pooled), "mean": float(pooled.mean()),
                    "quantile_1": float(np.quantile(pooled, 0.01)), "cvar_1": worst_mean(pooled),
                    "agents_below": sum(worst < 0.0 for worst in worst_of.values()),
                    "lowest_agent": lowest, "lowest_cvar_1": worst_of[lowest],
                }
            )  # fmt: skip
    return table


def markdown(covered: list[dict[str, Any]], safe: list[dict[str, Any]]) -> str:
    """Return both gates as Markdown tables."""
    lines = ["| candidates | judged | refused | doubly robust: covered (Wilson 95 %), width | "
             "importance sampling: covered, width |", "|---|---|---|---|---|"]  # fmt: skip
    for row in covered:
        cells = []
        for estimator in (Estimator.DOUBLY_ROBUST, Estimator.IMPORTANCE_SAMPLING):
            figures = row[str(estimator)]
            cells.append("–" if figures["covered"] is None else
                         f"{figures['covered']:.1%} ({figures['wilson'][0]:.1%}–{figures['wilson'][1]:.1%}), "
                         f"{figures['median_width']:.1f}")  # fmt: skip
        judged = row["candidates"] - row["refused"]
        lines.append(f"| {row['name']} | {judged} | {row['refused']} | {cells[0]} | {cells[1]} |")
    lines += [
        "",
        "| episodes logged | policy | logs | mean gain | 1 % quantile | mean of worst 1 % | agents whose "
        "worst 1 % is below the baseline | lowest agent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in safe:
        lines.append(
            f"| {row['episodes']} | {row['policy']} | {row['logs']} | {row['mean']:+.1%} | "
            f"{row['quantile_1']:+.1%} | {row['cvar_1']:+.1%} | {row['agents_below']} | "
            f"{row['lowest_agent']} {row['lowest_cvar_1']:+.1%} |"
        )
    return "\n".join(lines) + "\n"


def main(
    seeds: Annotated[int, typer.Option(help="Logs per agent and case for coverage.")] = 20,
    logs: Annotated[int, typer.Option(help="Logs per agent and size for safety.")] = 100,
    first_seed: Annotated[
        int, typer.Option(help="The first seed; others were looked at while choosing.")
    ] = 3_000,
    world_seed: Annotated[int, typer.Option(help="Which worlds.")] = 0,
    output: Annotated[Path, typer.Option(help="Where JSON and Markdown go.")] = Path("."),
) -> None:
    """Run both gates, write off-policy-gates.json and .md, and fail where one does not hold."""
    found = coverage(AGENTS, range(first_seed, first_seed + seeds), world_seed)
    gains = {
        episodes: {
            agent.name: improvements(agent, range(first_seed, first_seed + logs), episodes, world_seed)
            for agent in track(AGENTS, f"safety, {episodes} episodes")
        }
        for episodes in IMPROVEMENT_SIZES
    }
    covered, safe = coverage_table(found), safety_table(gains)
    output.mkdir(parents=True, exist_ok=True)
    (output / "off-policy-gates.json").write_text(
        json.dumps({"coverage": covered, "safety": safe}, indent=1) + "\n"
    )
    (output / "off-policy-gates.md").write_text(markdown(covered, safe))
    typer.echo(markdown(covered, safe))
    share = covered[-1][str(Estimator.DOUBLY_ROBUST)]["covered"]
    is_refused = all(item.refused for item in found if item.case == "without support")
    is_safe = all(row["cvar_1"] >= 0.0 for row in safe if row["policy"] != "greedy")
    if not (share >= 0.95 and is_refused and is_safe):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
