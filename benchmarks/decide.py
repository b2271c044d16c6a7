"""Deciding from the cache: the whole of ``decide``, against the same arithmetic on arrays.

What belongs here: cached decisions, and the check that they are the ones the array implementation takes. What
does not: lookups that ask the database (`lookups`) and agents that also record (`agents`).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_most,
)
from benchmarks.place import Place
from benchmarks.population import Population, populate
from benchmarks.statements import settle
from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.hierarchy.lookup import LevelRows, blended_lookup
from qe_core.learning.exploration import epsilon_greedy
from qe_core.rollout.assignment import Stage
from qe_core.runtime.contexts import Context
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.runtime.parameters import exploration_schedule
from qe_core.store import Store
from qe_core.store.live import Live

AGENT = "test-generator"
LEARNING_AGENT = "test-executor"
"""Of the same category; its table changes, so nothing else may depend on it."""

SERVING_AGENT, TESTED_AGENT = "coverage-analyzer", "quality-analyzer"
"""Of the same category; one serves a frozen version, the other is in an A/B test with all its units."""

STATES = 4_000
_MICROSECONDS = 1e6
_VALUE_TOLERANCE = 1e-9

Chosen = list[tuple[int, float]]


def latencies_of(seconds: Sequence[float], result: Any) -> Measurement:
    """Return percentiles in microseconds and, as the result, what was decided."""
    p50, p99 = np.percentile(np.array(seconds), [50, 99]) * _MICROSECONDS
    return Measurement({"p50_us": float(p50), "p99_us": float(p99)}, result)


def decided_on_arrays(population: Population, states: npt.NDArray[np.int64], seed: int) -> Measurement:
    """Decide each state with the array implementations, on tables that lie in memory whole."""
    contract = registry().get(AGENT)
    levels = (
        (population.tables["individual", AGENT], 1),
        (population.tables["category", contract.category.value], contract.category_divisor),
        (population.tables["fleet", "fleet"], contract.fleet_divisor),
    )
    rate = exploration_schedule(Settings()).exploration_rate
    generator = np.random.default_rng(seed)
    generator.random(2 * len(states))  # what the learner drew when it saw these states for the first time
    chosen: Chosen = []
    seconds = []
    for state in states.tolist():
        began = time.perf_counter()
        rows = (LevelRows.of(*level, [state // divisor]) for level, divisor in levels)
        found = blended_lookup(*rows, contract.approach_indices)
        choice = epsilon_greedy(found.value[0], rate, generator, found.is_known[0])
        seconds.append(time.perf_counter() - began)
        chosen.append((choice.action, choice.propensity))
    return latencies_of(seconds, chosen)


async def decided_by_learner(
    live: Live, contexts: Sequence[Context], seed: int, agent: str = AGENT, *, is_beginning: bool = False
) -> Measurement:
    """Decide each context by a learner that has met each before.

    Args:
        live: the hot path.
        contexts: of the agent.
        seed: of the learner's choices.
        agent: who decides.
        is_beginning: begin an episode for each, so that each decision also finds out what to follow.
    """
    learner = await Learner.open(live, agent, Settings(), np.random.default_rng(seed))
    for context in contexts:
        await learner.decide(context)
    decisions: list[Decision] = []
    seconds = []
    for context in contexts:
        episode = learner.begin_episode() if is_beginning else None
        began = time.perf_counter()
        decision = await learner.decide(context, episode)
        seconds.append(time.perf_counter() - began)
        decisions.append(decision)
    return latencies_of(seconds, [(decision.action, decision.propensity) for decision in decisions])


async def serve_and_test(store: Store) -> None:
    """Have one agent serve a frozen version, and another one test a candidate on all its units."""
    for name in (SERVING_AGENT, TESTED_AGENT):
        contract = registry().get(name)
        stable = await store.policies.snapshot(contract, reason="measured", by="benchmark")
        await store.policies.promote(name, stable.number, by="benchmark", why="measured")
    async with store.live() as live:
        learner = await Learner.open(live, TESTED_AGENT, Settings(), np.random.default_rng(1))
        await learner.record(await learner.decide(0), Outcome(points=1.0, terminated=True))
    candidate = await store.policies.snapshot(contract, reason="measured", by="benchmark")
    await store.ab_tests.start(
        TESTED_AGENT,
        key="measured",
        control=stable.number,
        treatment=candidate.number,
        by="benchmark",
        why="measured",
        stage=Stage.HALF,
    )


async def decided_after_updates(store: Store, live: Live, states: Sequence[int], seed: int) -> Measurement:
    """Decide in states whose rows have just been updated here; the result: the largest error of a value."""
    contract = registry().get(LEARNING_AGENT)
    learner = await Learner.open(live, contract, Settings(), np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    taken = [await learner.decide(state) for state in states]
    outcomes = [
        (decision, Outcome(points=float(points), next_context=decision.state))
        for decision, points in zip(taken, rng.uniform(-50, 50, len(taken)), strict=True)
    ]
    await learner.record_many(outcomes)
    decisions, seconds = [], []
    for state in states:
        began = time.perf_counter()
        decision = await learner.decide(state)
        seconds.append(time.perf_counter() - began)
        decisions.append(decision)
    stored = await store.q_tables.load("individual", contract.name, contract.fingerprint)
    error = 0.0
    for decision in decisions:
        visits, q = stored.table.visits[decision.state], stored.table.q[decision.state]
        own = live.reader.table(stored.handle).row(decision.state)
        if own is None or own.visits != tuple(visits.tolist()):
            raise ResultsDifferError(f"state {decision.state}: cached visits differ from the database's")
        error = max(error, float(np.abs(np.array(own.q) - q).max()))
    return latencies_of(seconds, error)


@contextmanager
def prepare_cached(place: Place) -> Iterator[Running]:
    """Yield every form of context, decisions after updates, and the arrays."""
    size = place.size(full=STATES, quick=400)
    seeds = count(1)
    rng = np.random.default_rng(11)
    contract = registry().get(AGENT)
    states = rng.choice(contract.state_count, size, replace=False)
    models = [contract.state_model.decode(state) for state in states.tolist()]
    labels = [model.model_dump() for model in models]
    learning_count = registry().get(LEARNING_AGENT).state_count
    learning_states = rng.choice(learning_count, min(size, learning_count) // 2, replace=False).tolist()
    with place.database() as url, asyncio.Runner() as runner:
        population = runner.run(populate(url, (AGENT, LEARNING_AGENT, SERVING_AGENT, TESTED_AGENT)))
        settle(url)
        stack = AsyncExitStack()
        store = runner.run(stack.enter_async_context(Store.connect(url)))
        runner.run(serve_and_test(store))
        live = runner.run(stack.enter_async_context(store.live()))
        runner.run(decided_by_learner(live, states.tolist(), 0))
        seed = 0

        def first() -> Measurement:
            """Decide with a seed that all others of this round share."""
            nonlocal seed
            seed = next(seeds)
            return runner.run(decided_by_learner(live, models, seed))

        def following(agent: str, *, is_beginning: bool) -> Callable[[], Measurement]:
            """Decide as often, in states of an agent that serves or is tested."""
            own = np.random.default_rng(13).integers(registry().get(agent).state_count, size=size).tolist()
            return lambda: runner.run(decided_by_learner(live, own, seed, agent, is_beginning=is_beginning))

        def measured(
            work: Callable[[], Coroutine[Any, Any, Measurement]],
        ) -> Callable[[], Measurement]:
            return lambda: runner.run(work())

        def check(found: Mapping[str, Any]) -> None:
            """Compare every action and propensity with those of the arrays, and values with the database."""
            for name in ("ours", "labels", "codes", "beginning"):
                for number, (ours, theirs) in enumerate(zip(found[name], found["arrays"], strict=True)):
                    if ours[0] != theirs[0] or abs(ours[1] - theirs[1]) > _VALUE_TOLERANCE:
                        raise ResultsDifferError(
                            f"{name}: decision {number} is {ours}, of the arrays {theirs}"
                        )
            if not found["updated"] <= _VALUE_TOLERANCE:
                raise ResultsDifferError(f"after updates a cached value is off by {found['updated']} points")

        try:
            yield Running(
                {
                    "ours": first,
                    "labels": measured(lambda: decided_by_learner(live, labels, seed)),
                    "codes": measured(lambda: decided_by_learner(live, states.tolist(), seed)),
                    "updated": measured(lambda: decided_after_updates(store, live, learning_states, seed)),
                    "beginning": measured(
                        lambda: decided_by_learner(live, states.tolist(), seed, is_beginning=True)
                    ),
                    "serving": following(SERVING_AGENT, is_beginning=False),
                    "tested": following(TESTED_AGENT, is_beginning=True),
                    "arrays": lambda: decided_on_arrays(population, states, seed),
                },
                check,
            )
        finally:
            runner.run(stack.aclose())


_P50 = "p50_us"

BENCHMARKS = (
    Benchmark(
        "decide",
        (
            Contestant("ours", f"`decide` on {STATES:,} cached states, given as the agent's state model"),
            Contestant("labels", "the same, given as mappings, which are validated first"),
            Contestant("codes", "the same, given as codes"),
            Contestant("beginning", "the same by codes, each in an episode of its own"),
            Contestant("serving", "`decide` of an agent that serves a frozen version, given as codes"),
            Contestant("tested", "`decide` in an A/B test: each decision begins an episode and assigns it"),
            Contestant("updated", "`decide` in states that were updated since the last decision there"),
            Contestant("arrays", "blended lookup and ε-greedy choice on numpy arrays, tables in memory"),
        ),
        (
            Row(
                "decide-cached",
                "cached decision, p50, the whole of `decide`",
                Of("ours", _P50),
                bound=at_most(20),
                unit="µs",
            ),
            Row(
                "decide-cached-labels",
                "the same from a mapping that is validated",
                Of("labels", _P50),
                bound=at_most(20),
                unit="µs",
            ),
            Row(
                "decide-cached-updated",
                "the same where the row changed since",
                Of("updated", _P50),
                bound=at_most(20),
                unit="µs",
            ),
            Row(
                "decide-serving",
                "cached decision by codes ÷ the same by a frozen version",
                Of("codes", _P50),
                Of("serving", _P50),
            ),
            Row(
                "decide-tested",
                "first decision of an episode by codes ÷ the same with an assignment to an A/B test",
                Of("beginning", _P50),
                Of("tested", _P50),
            ),
            Row(
                "decide-vs-arrays",
                "lookup and choice on arrays ÷ the whole of `decide`",
                Of("arrays", _P50),
                Of("ours", _P50),
            ),
        ),
        prepare_cached,
    ),
)
