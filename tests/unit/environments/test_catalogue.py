"""Finding worlds: built-in, users' own, none."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qe_core.environments.catalogue import NoWorldError, declarations, external_declarations, world_of
from qe_core.environments.declared import WORLDS
from qe_core.errors import ContractError
from qe_core.fleet.core_testing import TEST_EXECUTOR

EXAMPLE_AGENT = Path(__file__).parents[2] / "fixtures" / "example_agent"


def test_a_users_agent_brings_its_own_world() -> None:
    code = (
        "import gymnasium, numpy as np\n"
        "from qe_core.environments import register_environments\n"
        "print(len(register_environments()), register_environments()[-1])\n"
        "env = gymnasium.make('qe/release-notes-writer-v0', world_seed=3)\n"
        "world = env.unwrapped.world\n"
        "print(world.fixed_values().max() < world.optimal_value(), env.action_space.n)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE_AGENT)}
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["19", "qe/release-notes-writer-v0", "True", "3"]


def test_an_agent_without_a_declared_world_is_told_how_to_declare_one() -> None:
    with pytest.raises(NoWorldError) as caught:
        world_of(replace(TEST_EXECUTOR, name="homemade"))
    for fragment in ("agent 'homemade' has no simulated world", "WorldDeclaration", "'qe_fleet.worlds'"):
        assert fragment in str(caught.value)


def test_a_negative_world_seed_is_refused() -> None:
    with pytest.raises(ContractError, match="a world seed is a whole number of 0 or more, not -1"):
        world_of(TEST_EXECUTOR, -1)


def test_two_worlds_for_one_agent_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qe_core.environments.catalogue.external_declarations", lambda: WORLDS[:1])
    declarations.cache_clear()
    with pytest.raises(ContractError, match="two worlds are declared for agent 'test-generator'"):
        declarations()
    declarations.cache_clear()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "homemade_world:WORLD",
            "entry point 'homemade' (homemade_world:WORLD) is a str, not a WorldDeclaration",
        ),
        ("homemade_world:OTHER", "entry point 'homemade' (homemade_world:OTHER) does not load"),
    ],
)
def test_a_broken_entry_point_is_named(
    target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "homemade_world.py").write_text("WORLD = 'flat'")
    info = tmp_path / "homemade_world-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: homemade-world\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[qe_fleet.worlds]\nhomemade = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ContractError) as caught:
        external_declarations()
    assert message in str(caught.value)
