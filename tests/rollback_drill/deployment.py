"""A deployment of its own: `qe up` in a private home, as a user has it, and stopped again.

What belongs here: starting, finding its database, asking its Dagster, stopping. What does not: what the drill
does to it (`run`).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qe_core.config import home_apart
from qe_core.store.server import database_url

ROOT = Path(__file__).parents[2]
STOPPING_SECONDS = 120.0
QUIET = {
    "QE_PIPELINES__EXPERIENCE_BATCH_COUNT": "1000000000",
    "QE_PIPELINES__EXPERIENCE_BATCH_AGE_SECONDS": "1000000",
    "QE_PIPELINES__REPLAY_TRAINING_CRON": "0 0 1 1 *",
    "QE_PIPELINES__STATISTICS_CRON": "0 0 1 1 *",
}
"""Tables are not rebuilt from the log meanwhile: that would mend an overwritten table by itself."""

_TICKS = """
{
  repositoriesOrError { ... on RepositoryConnection { nodes { sensors { name sensorState {
    ticks(limit: 200) { timestamp endTimestamp status skipReason } } } } } }
}
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs.

    Attributes:
        url: of the web UI.
        database_url: of the product's database.
    """

    url: str
    database_url: str

    def ticks(self, sensor: str) -> list[Mapping[str, Any]]:
        """Return the last ticks of a sensor, the newest first."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": _TICKS}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            [repository] = json.load(response)["data"]["repositoriesOrError"]["nodes"]
        [found] = [line for line in repository["sensors"] if line["name"] == sensor]
        return list(found["sensorState"]["ticks"])


@contextmanager
def deployed(home: Path, webhook_url: str, variables: Mapping[str, str]) -> Iterator[Deployment]:
    """Yield a deployment that answers; afterwards nothing of it runs any more.

    Args:
        home: private, empty.
        webhook_url: where it posts alerts.
        variables: settings, as environment variables.
    """
    port = _free_port()
    with home_apart(home):
        process = subprocess.Popen(
            [sys.executable, "-m", "qe_core.cli", "up", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **QUIET, **variables, "QE_ALERT_WEBHOOK_URL": webhook_url, "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=(home / "up.log").open("wb"),
            text=True,
        )
        try:
            assert process.stdout is not None, "it was started with a pipe"
            if f"http://127.0.0.1:{port}" not in process.stdout.readline():
                raise AssertionError(f"qe up did not start: {(home / 'up.log').read_text()[-2_000:]}")
            yield Deployment(f"http://127.0.0.1:{port}", database_url())
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=STOPPING_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
