"""An agent of a user's own package flows through the whole graph without an edit anywhere."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.pipelines.conftest import EPISODES, STEPS, run_sql

EXAMPLE_AGENT = Path(__file__).parents[1] / "fixtures" / "example_agent"
NAME = "release-notes-writer"
PROGRAM = """
import asyncio, json, sys
from qe_core.fleet import registry
from qe_core.store import Store
from qe_core.store.server import database_url
from qe_pipelines.materialize import main
from tests.pipelines.conftest import experience_columns

async def append():
    async with Store.connect(database_url()) as store:
        await store.experiences.append(experience_columns(registry().get(sys.argv[1]), 60, seed=3))

asyncio.run(append())
code = main([])
from qe_pipelines.checks import main
sys.exit(code or main([]))
"""


def test_agent_of_an_installed_package_reaches_tables_statistics_views_and_checks(
    filled_url: str, subprocess_environment: Callable[[str], dict[str, str]]
) -> None:
    root = Path(__file__).parents[2]
    environment = subprocess_environment(filled_url) | {"PYTHONPATH": f"{EXAMPLE_AGENT}:{root}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, NAME], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]

    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"doing": f"individual_q_table: {NAME}, 19 of 19"} in messages
    assert any(message.get("finished") for message in messages)
    results = {(message["asset"], message["check"]): message for message in messages if "check" in message}
    assert results["individual_q_table", "visits_are_conserved"]["passed"]
    assert all(line["passed"] for line in results.values() if line["severity"] == "ERROR")

    own = EPISODES * STEPS
    levels = dict(
        run_sql(filled_url, "SELECT level, sum(visits)::int FROM q_values_long GROUP BY level")  # type: ignore[arg-type]
    )
    assert levels == {"individual": 19 * own, "category": 19 * own, "fleet": 19 * own}
    assert run_sql(
        filled_url, f"SELECT experiences, updates FROM qe_views.agent_health WHERE agent = '{NAME}'"
    ) == [(own, own)]
    assert run_sql(filled_url, f"SELECT count(*) FROM learning_stats WHERE agent = '{NAME}'")[0][0] >= 1
