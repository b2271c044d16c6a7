"""Running a job of the graph in this process, against the real instance, and telling how far it is.

What belongs here: finding Dagster's home, executing, turning events into messages (one JSON object a line on
standard output; whatever else wants to print goes to standard error). What does not: what is run
(`materialize`, `checks`).
"""

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import dagster as dg

from qe_core.store.server import database_url
from qe_pipelines.automation import UNFINISHED
from qe_pipelines.defs.maintenance.failures import cause_of
from qe_pipelines.home import default_home, prepare_dagster_home
from qe_pipelines.partitions import PROGRESS

Say = Callable[[Mapping[str, Any]], None]

HOST_TAG, PROCESS_TAG = "qe/host", "qe/process"
"""Tags that say where a run of this module is executed."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps the events out of the terminal; the instance has them all."""


@contextmanager
def messages_on_stdout() -> Iterator[Say]:
    """Yield what writes a message; everything else written to standard output goes to standard error.

    dbt, and whatever else prints by itself, must not get between the messages.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(kept, "w", encoding="utf-8") as stream:
        with redirect_stdout(sys.stderr):
            yield lambda message: _write(stream, message)
        os.dup2(stream.fileno(), 1)


def _write(stream: TextIO, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


@contextmanager
def project_instance() -> Iterator[dg.DagsterInstance]:
    """Yield the instance of this project's Dagster home, whose home is prepared first."""
    home = prepare_dagster_home(default_home().expanduser().resolve(), database_url())
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        close_abandoned_runs(instance)
        yield instance


def close_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of this machine whose process is gone as failed, and return their ids.

    Dagster's own monitoring watches the processes it started; these ones it did not.
    """
    unfinished = dg.RunsFilter(tags={HOST_TAG: socket.gethostname()}, statuses=UNFINISHED)
    abandoned = [run for run in instance.get_runs(unfinished) if not _is_alive(run.tags[PROCESS_TAG])]
    for run in abandoned:
        instance.report_run_failed(run, "its process ended without saying why")
    return [run.run_id for run in abandoned]


def process_identity() -> str:
    """Return this process's number and when it started: on a busy machine numbers are soon used again."""
    return f"{os.getpid()} {_started(os.getpid())}".strip()


def _is_alive(identity: str) -> bool:
    number, _, started = identity.partition(" ")
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not started or started == _started(int(number))


def _started(process_id: int) -> str:
    """Return when a process started, in the kernel's ticks; nothing where the system does not tell."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def run_job(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    say: Say,
    tags: Mapping[str, str] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
) -> dg.ExecuteInProcessResult:
    """Return the result of a run in this process, telling about it while it goes on.

    Told are ``{"step", "done", "total"}`` when a step ends well, ``{"doing"}`` for each agent within a step,
    and ``{"step", "error"}`` when one fails.

    Args:
        job: what to run.
        instance: where the run is recorded.
        say: told the messages.
        tags: tags of the run, for example the agents it covers.
        assets: only these of the job's assets; None for all.
    """
    run_id = str(uuid4())
    progress = _Progress(say, len(job.get_subset(asset_selection=set(assets) if assets else None).nodes))
    instance.add_event_listener(run_id, progress.hear)
    PROGRESS.setLevel(logging.INFO)
    PROGRESS.addHandler(progress)
    try:
        return job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            tags={**(tags or {}), HOST_TAG: socket.gethostname(), PROCESS_TAG: process_identity()},
            asset_selection=assets,
            run_id=run_id,
            raise_on_error=False,
        )
    finally:
        PROGRESS.removeHandler(progress)


class _Progress(logging.Handler):
    """Turns the events of one run, and what its assets log about their progress, into messages."""

    def __init__(self, say: Say, total: int) -> None:
        super().__init__()
        self.say = say
        self.done = 0
        self.total = total
        self.faults: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one line of an asset's own progress."""
        self.say({"doing": record.getMessage()})

    def hear(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        match event.event_type:
            case dg.DagsterEventType.STEP_SUCCESS:
                self.done += 1
                self.say({"step": event.step_key, "done": self.done, "total": self.total})
            case dg.DagsterEventType.STEP_FAILURE:
                causes = [cause_of(event.step_failure_data.error), *self.faults.pop(event.step_key or "", [])]
                self.say({"step": event.step_key, "error": ": ".join(causes)})
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION if not event.asset_check_evaluation_data.passed:
                found = event.asset_check_evaluation_data
                self.faults.setdefault(event.step_key or "", []).append(found.description or found.check_name)
            case dg.DagsterEventType.RUN_FAILURE if event.step_key is None and event.message:
                self.say({"failed": event.message})
            case _:
                pass
