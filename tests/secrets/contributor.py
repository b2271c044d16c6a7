"""A contributor's process: it is full of secrets, works, and shares what it learned.

What belongs here: putting each secret where a person could put it, and every call that talks to the team's
server. What does not: the server and the search. Run as ``python -m tests.secrets.contributor JOB``; it says
what it did, as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from qe_core.config import Settings, load_settings
from qe_core.errors import ContributionError, PrivacyError, QEError
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.learning.divergence_response import Adjustment
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.identity import identity_of, named_identity, process_pseudonyms
from qe_core.runtime.importing import import_file
from qe_core.runtime.journal import FileJournal
from qe_core.runtime.tasks import QETask
from qe_core.runtime.team.coordinator import TeamLearningCoordinator
from qe_core.runtime.training import table_so_far
from qe_core.runtime.working import agent_at_work
from qe_core.store import Store
from qe_core.store.ab_records import EndVerdict
from qe_core.store.alerts import Sighting
from qe_core.store.central import TeamServer
from qe_core.store.team import OptOutKind

CONTRACT = registry().get("quality-analyzer")
START = datetime(2026, 3, 1, tzinfo=UTC)
TASKS = 2_000
"""Tasks with ordinary names beside those named by secrets: without them there would be nothing to share."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is told.

    Attributes:
        store_url: its own database.
        team_url: the team's server, through the line that is listened to.
        secrets: by place.
    """

    store_url: str
    team_url: str
    secrets: dict[str, list[str]]


def rows(names: Sequence[str], *, source: str = "agent", seed: int = 0) -> dict[str, Any]:
    """Return one finished task of one step for each name."""
    rng = np.random.default_rng([seed, len(names)])
    count = len(names)
    return {
        "occurred_at": [START + timedelta(seconds=row) for row in range(count)],
        "agent": CONTRACT.name,
        "episode": list(names),
        "step": np.zeros(count, dtype=np.int64),
        "state": rng.integers(0, 12, count),
        "action": rng.integers(0, CONTRACT.action_count, count),
        "reward": rng.normal(20.0, 5.0, count).round(2),
        "next_state": rng.integers(0, 12, count),
        "terminated": True,
        "truncated": False,
        "propensity": 0.5,
        "fingerprint": CONTRACT.fingerprint,
        "source": source,
    }


async def plant_in_log(job: Job) -> None:
    """Put secrets into names of episodes and sources, names of files, developers and projects."""
    secrets = job.secrets
    async with Store.connect(job.store_url) as store:
        await store.experiences.append(rows(secrets["name of an episode"]))
        await store.experiences.append(rows([f"task-{number}" for number in range(TASKS)], seed=1))
        for number, source in enumerate(secrets["source of experiences"]):
            await store.experiences.append(rows([f"of-{number}"], source=f"import:{source}"))
        for name in secrets["name of an imported file"]:
            await import_rows(store, Path(f"{name}.jsonl"))
    for kind in ("developer", "project"):
        for number, name in enumerate(secrets[kind]):
            identity = named_identity(**{"developer": None, "project": None, kind: name})
            async with Store.connect(job.store_url, pool_size=1, identity=identity) as store:
                await store.experiences.append(rows([f"{kind}-{number}"]))


async def import_rows(store: Store, path: Path) -> None:
    """Import a file of one task under its own name."""
    row = {
        "agent": CONTRACT.name,
        "episode": path.stem,
        "step": 0,
        "state": 3,
        "action": CONTRACT.action_names[0],
        "reward": 5.0,
        "next_state": 4,
        "terminated": True,
    }
    await asyncio.to_thread(path.write_text, json.dumps(row) + "\n", encoding="utf-8")
    await import_file(store, path, registry(), datetime.now(UTC))


async def plant_at_work(job: Job, settings: Settings) -> int:
    """Let an agent work on tasks full of secrets, some refused, some that fail; return how many failed."""
    secrets = job.secrets
    failures = 0

    def strategy(task: QETask) -> Outcome:
        if "fail" in task.inputs:
            raise RuntimeError(task.inputs["fail"])
        return Outcome(points=10.0, terminated=True)

    strategies = dict.fromkeys(CONTRACT.action_names, strategy)
    tasks = [
        *(QETask(context=1, unit=unit) for unit in secrets["unit of a test"]),
        *(QETask(context=2, task_id=number) for number in secrets["number of a task"]),
        *(QETask(context=3, inputs={"given": text, text: [text]}) for text in secrets["input of a task"]),
        *(QETask(context={text: text}) for text in secrets["refused context"]),
        *(QETask(context=4, inputs={"fail": text}) for text in secrets["message of an error"]),
    ]
    async with Store.connect(job.store_url, identity=identity_of(settings)) as store, store.live() as live:
        await table_so_far(store, CONTRACT)
        await store.policies.snapshot(CONTRACT, reason="before", by="somebody")
        with FileJournal(Path("notes")) as notes:
            async with agent_at_work(
                *(store, live, CONTRACT, strategies, settings, np.random.default_rng(1)), journal=notes
            ) as agent:
                for task in tasks:
                    try:
                        await agent.execute_with_learning(task)
                    except (QEError, RuntimeError):
                        failures += 1
    return failures


async def plant_in_store(job: Job) -> None:
    """Put secrets into everything else that a contributor's database keeps."""
    secrets = job.secrets
    async with Store.connect(job.store_url) as store:
        for text in secrets["alert"]:
            await store.alerts.see(Sighting(text, text, "warning", text, text, text))
        for text in secrets["memory"]:
            await store.memory.set(text, text, {text: [text]})
        for number, text in enumerate(secrets["reason for an adjustment"]):
            wanted = Adjustment(1.0 / (2 + number), 0.2)
            await store.adjustments.adjust(CONTRACT.name, wanted, text, text, text)
        first, *reasons = secrets["reason for a policy"]
        newest = await store.policies.snapshot(CONTRACT, reason=first, by=first)
        others = [one for one in await store.policies.versions(CONTRACT.name) if one.number != newest.number]
        control, treatment = newest.number, others[0].number
        for text in reasons:
            control, treatment = treatment, control
            await store.policies.promote(CONTRACT.name, control, by=text, why=text)
        for text in secrets["A/B test"]:
            test = await store.ab_tests.start(
                CONTRACT.name, key=text, control=control, treatment=treatment, by=text, why=text
            )
            await store.ab_tests.stop(test.experiment_id, EndVerdict.BY_HAND, by=text, why=text)


async def share(job: Job, settings: Settings) -> dict[str, Any]:
    """Make every call that could tell the team's server something; return what came of it."""
    said: dict[str, Any] = {"refused": 0, "trouble": [], "sent": 0, "pulled": 0}

    def coordinator(
        store: Store,
        number: int,
        url: str = job.team_url,
        *,
        is_sharing: bool = True,
        fleet: Registry | None = None,
    ) -> TeamLearningCoordinator:
        team = settings.team.model_copy(update={"is_sharing": is_sharing})
        own = settings.model_copy(update={"team": team})
        who = job.secrets["who acts"][number]
        return TeamLearningCoordinator(store, own, process_pseudonyms(), url, by=who, fleet=fleet)

    async with Store.connect(job.store_url) as store:
        for call in ("push_to_central", "sync_from_central"):
            try:
                await getattr(coordinator(store, 0, is_sharing=False), call)()
            except PrivacyError:
                said["refused"] += 1
        wrong = job.team_url.replace(urlsplit(job.team_url).password or "", "wrong")
        said["trouble"].append((await coordinator(store, 1, wrong).push_to_central()).trouble)
        sharing = coordinator(store, 2)
        # The line is cut in the middle of the first release.
        for _ in range(3):
            report = await sharing.push_to_central()
            said["sent"] += len(report.sent) + len(report.known)
            said["trouble"].append(report.trouble)
        said["pulled"] += len((await sharing.sync_from_central()).changes)
        await sharing.undo_pull()
        said["pulled"] += len((await sharing.sync_from_central(again=True)).changes)
        for number, text in enumerate(job.secrets["opt-out"]):
            await sharing.privacy.opt_out((OptOutKind.DEVELOPER, OptOutKind.PROJECT)[number % 2], text)
        for text in job.secrets["opt-out"][::2]:
            await sharing.privacy.lift(OptOutKind.DEVELOPER, text)
        await store.experiences.append(rows([f"later-{number}" for number in range(TASKS)], seed=2))
        # Of one agent only, since drawing the noise takes longest.
        last = await coordinator(store, 3, fleet=Registry((CONTRACT,))).push_to_central()
        said["sent"] += len(last.sent)
        said["trouble"].append(last.trouble)
        await sharing.status()
        await sharing.privacy.status()
        await sharing.privacy.audit()
        [first, *_] = await store.releases.sent()
    async with TeamServer.connect(job.team_url) as server:
        # The number of a release that the server has, with other content.
        parts = {agent: b"other content" for agent, _ in first.header.agents}
        try:
            await server.submit(first.header, parts)
        except ContributionError:
            said["refused"] += 1
    return said


async def work(job: Job) -> dict[str, Any]:
    """Plant everything, work and share."""
    settings = load_settings().values
    await plant_in_log(job)
    failures = await plant_at_work(job, settings)
    await plant_in_store(job)
    return {**await share(job, settings), "failures": failures, "agents": registry().names()[-1:]}


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(asyncio.run(work(Job(**told)))) + "\n")
