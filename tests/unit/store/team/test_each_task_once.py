"""Whatever arrives in whatever pieces, and whoever opts out meanwhile: a model of plain sets agrees."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qe_core.privacy.units import ProtectedUnit
from qe_core.store import Store
from qe_core.store.experiences import ExperienceLog
from qe_core.store.identity import Identity
from qe_core.store.team import OptOutKind, UnreleasedTasks
from tests.unit.store.team.made import AGENT, COST, SPACES, released, task, together

TASKS, DEVELOPERS = 9, 3
"""Task t is developer t % 3's; 0 is nobody."""

Operation = tuple[str, list[tuple[int, bool]] | int]
_numbers = count(1)

chunks = st.lists(
    st.tuples(st.integers(0, TASKS - 1), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda step: step[0],
)
operations = st.one_of(
    st.tuples(st.just("chunk"), chunks),
    st.tuples(st.sampled_from(["release", "withdraw", "send"]), st.just(0)),
    st.tuples(st.sampled_from(["opt out", "lift"]), st.integers(1, DEVELOPERS - 1)),
)


@dataclass
class Model:
    """What should be, by plain sets."""

    steps: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    chunk_count: int = 0
    marked: dict[int, int] = field(default_factory=dict)
    release_count: int = 0
    pending: list[int] = field(default_factory=list)
    opted_out: set[int] = field(default_factory=set)
    withheld: set[int] = field(default_factory=set)

    def release(self) -> None:
        """Mark every chunk that is not marked."""
        self.release_count += 1
        self.pending.append(self.release_count)
        for chunk in range(self.chunk_count):
            self.marked.setdefault(chunk, self.release_count)

    def ready(self) -> dict[int, int]:
        """Return how many steps each task has that is to be found."""
        return {
            number: self.steps[number]
            for number, chunk in self.ended.items()
            if chunk not in self.marked
            and number % DEVELOPERS not in self.opted_out
            and number not in self.withheld
        }


@given(st.lists(operations, min_size=4, max_size=14))
@example(
    # Two tasks begun in one chunk that end in two releases, of which the first is withdrawn after the second.
    [
        ("chunk", [(0, False), (3, False), (1, True)]),
        ("release", 0),
        ("send", 0),
        ("chunk", [(0, True), (6, False)]),
        ("release", 0),
        ("chunk", [(3, True)]),
        ("release", 0),
        ("withdraw", 0),
    ]
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_finished_task_is_found_whole_until_it_is_released(
    database_url: str, sequence: list[Operation]
) -> None:
    asyncio.run(follow(database_url, sequence, next(_numbers)))


async def follow(url: str, sequence: list[Operation], number: int) -> None:
    """Do all of it under a contract and with developers of its own, and compare after each step."""
    space = replace(SPACES[AGENT], fingerprint=f"{number:016x}")
    pseudonyms = [None, *(f"{DEVELOPERS * number + developer:032x}" for developer in range(1, DEVELOPERS))]
    model = Model()
    async with Store.connect(url, pool_size=2) as store:
        logs = [ExperienceLog(store._database, Identity(pseudonym)) for pseudonym in pseudonyms]

        async def found() -> UnreleasedTasks:
            return await store.releases.finished_tasks({AGENT: space}, unit=ProtectedUnit.TASK)

        for kind, argument in sequence:
            match kind, argument:
                case "chunk", list(steps):
                    await _arrive(logs, model, space.fingerprint, steps)
                case (("opt out" | "lift"), int(developer)):
                    await _change(store, model, kind, developer, str(pseudonyms[developer]))
                case "release", _ if (tasks := await found()).task_count:
                    await store.releases.commit(released(tasks), 10**9 * COST, by="test")
                    model.release()
                case (("send" | "withdraw"), _) if model.pending:
                    await _settle(store, model, kind)
            steps = (await found()).steps[AGENT]
            assert _counted(steps.state.tolist()) == model.ready()
        await store.releases.withdraw_pending("the end", by="test")
        for developer in model.opted_out:
            await store.opt_outs.lift(OptOutKind.DEVELOPER, str(pseudonyms[developer]), by="test")


async def _change(store: Store, model: Model, kind: str, developer: int, pseudonym: str) -> None:
    """Have a developer opt out, unless that would overtake a release, or take part again."""
    if kind == "lift" and developer in model.opted_out:
        await store.opt_outs.lift(OptOutKind.DEVELOPER, pseudonym, by="test")
        model.opted_out.remove(developer)
        model.withheld |= {number for number in model.steps if number % DEVELOPERS == developer}
    elif kind == "opt out" and developer not in model.opted_out and not model.pending:
        await store.opt_outs.add(OptOutKind.DEVELOPER, pseudonym, by="test")
        model.opted_out.add(developer)


async def _settle(store: Store, model: Model, kind: str) -> None:
    """Send or withdraw the oldest release that is pending."""
    oldest = (await store.releases.pending())[0].header.release_id
    gone = model.pending.pop(0)
    if kind == "send":
        async with store.releases.sending(oldest, by="test") as parts:
            assert parts is not None
    else:
        await store.releases.withdraw_pending("test", by="test", only=oldest)
        model.marked = {chunk: by for chunk, by in model.marked.items() if by != gone}


async def _arrive(
    logs: list[ExperienceLog], model: Model, fingerprint: str, steps: list[tuple[int, bool]]
) -> None:
    """Append one step of some tasks, those of one developer in one chunk; the state of a step is its task."""
    for developer, log in enumerate(logs):
        rows = []
        for number, is_last in steps:
            if number % DEVELOPERS != developer or number in model.ended:
                continue
            place = model.steps.get(number, 0)
            rows.append(
                task(
                    f"{fingerprint}-{number}",
                    [number],
                    minute=number * 100,
                    first_step=place,
                    is_finished=is_last,
                    fingerprint=fingerprint,
                )
            )
            model.steps[number] = place + 1
            if is_last:
                model.ended[number] = model.chunk_count
        if rows:
            await log.append(together(*rows))
            model.chunk_count += 1


def _counted(states: list[int]) -> dict[int, int]:
    return {state: states.count(state) for state in set(states)}
