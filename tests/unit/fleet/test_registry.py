"""Finding agents: built-in ones, users' own, and what goes wrong with entry points."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qe_core.errors import ContractError, UnknownAgentError
from qe_core.fleet.core_testing import TEST_EXECUTOR
from qe_core.fleet.registry import built_registry, external_contracts, registry
from qe_core.fleet.vocabulary import Category

EXAMPLE_AGENT = Path(__file__).parents[2] / "fixtures" / "example_agent"


def python(code: str, *paths: Path) -> str:
    """Return what a fresh process prints that has these directories on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_an_installed_package_adds_its_agent_after_the_built_in_ones() -> None:
    code = (
        "from qe_core.fleet import registry, Category\n"
        "names = registry().names()\n"
        "print(len(names), names[-1], registry().get(names[-1]).state_count)\n"
        "print(registry().by_category(Category.STRATEGIC)[-1].name)\n"
    )
    found = python(code, EXAMPLE_AGENT)
    assert found.splitlines() == ["19 release-notes-writer 972", "release-notes-writer"]


def test_without_it_the_fleet_has_its_eighteen_agents() -> None:
    assert len(built_registry()) == 18
    assert list(built_registry()) == list(built_registry().contracts)
    assert registry().names()[:18] == built_registry().names()


def test_an_unknown_agent_is_named_with_the_nearest_ones() -> None:
    with pytest.raises(
        UnknownAgentError, match="no agent is called 'test-excutor': did you mean test-executor"
    ):
        built_registry().get("test-excutor")
    assert built_registry().get("test-executor") is TEST_EXECUTOR


def test_a_name_may_be_taken_only_once() -> None:
    with pytest.raises(
        ContractError, match="registered more than once: test-executor; give each agent a name"
    ):
        built_registry([TEST_EXECUTOR])


def test_a_group_of_one_is_no_group() -> None:
    lonely = replace(TEST_EXECUTOR, name="lonely", similarity_group="alone")
    assert "alone" not in built_registry([lonely]).similarity_groups()
    assert built_registry([lonely]).by_category(Category.CORE_TESTING)[-1] is lonely


def package(directory: Path, group: str, target: str, source: str) -> None:
    """Write an installed package with one entry point."""
    (directory / "broken_agent.py").write_text(source)
    info = directory / "broken_agent-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-agent\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nbroken = {target}\n")


@pytest.mark.parametrize(
    ("target", "source", "message"),
    [
        (
            "broken_agent:AGENT",
            "AGENT = 'me'",
            "entry point 'broken' (broken_agent:AGENT) is a str, not an Agent",
        ),
        ("broken_agent:OTHER", "AGENT = 1", "entry point 'broken' (broken_agent:OTHER) does not load"),
        ("broken_agent:AGENT", "1 / 0", "does not load: division by zero; fix or uninstall its package"),
        ("absent_agent:AGENT", "", "does not load: No module named 'absent_agent'"),
    ],
)
def test_a_broken_entry_point_is_named(
    target: str, source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "qe_fleet.agents", target, source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ContractError) as caught:
        external_contracts()
    assert message in str(caught.value)
    sys.modules.pop("broken_agent", None)
