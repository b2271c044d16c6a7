"""Programs of the pipelines: messages are heard, failures say why, nothing outlives its caller."""

import asyncio
import os
import sys

import pytest

from qe_core.errors import ConfigError
from qe_core.runtime import graph, processes
from qe_core.runtime.graph import GraphError, materialize, rounds_of, run_program


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a module that can be run with python -m, and return its name."""

    def write(body: str) -> str:
        (tmp_path / "stand_in_program.py").write_text(body)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
        return "stand_in_program"

    return write


async def test_every_json_line_is_heard_and_the_rest_is_kept_as_last_words(program):
    heard = []
    name = program('print("{\\"done\\": 1}")\nprint("plain")\nprint("{broken")\nprint("[1]")')
    assert await run_program(name, [], heard.append) == (0, "plain\n{broken\n[1]")
    assert heard == [{"done": 1}]


async def test_arguments_are_passed_on(program):
    heard = []
    name = program("import json, sys\nprint(json.dumps({'arguments': sys.argv[1:]}))")
    await run_program(name, ["--agent", "a b"], heard.append)
    assert heard == [{"arguments": ["--agent", "a b"]}]


async def test_a_crash_says_its_last_words(program):
    with pytest.raises(GraphError, match=r"(?s)ended with exit code 3:.*the reason"):
        await run_program(program("import sys; print('the reason', file=sys.stderr); sys.exit(3)"), [], print)


async def test_a_failed_part_of_the_graph_is_named(program, monkeypatch):
    name = program('print(\'{"error": "table x is wrong"}\')\nraise SystemExit(1)')

    async def run_stand_in(_module, arguments, hear):
        return await run_program(name, arguments, hear)

    monkeypatch.setattr(graph, "run_program", run_stand_in)
    with pytest.raises(GraphError, match="table x is wrong\nrun it again after mending that"):
        await materialize(["a"], lambda _message: None)


async def test_a_bad_setting_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setenv("QE_LEARNING__DISCOUNT", "7")
    with pytest.raises(ConfigError, match=r"learning\.discount"):
        await run_program("nothing", [], print)


async def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(graph, "find_spec", lambda _name: None)
    with pytest.raises(GraphError, match=r"install it with pip install 'qe-fleet\[dagster\]'"):
        await run_program("nothing", [], print)


async def test_a_cancelled_caller_takes_the_program_with_it(program, monkeypatch):
    class Known:
        hex = "cancelled-program"

    monkeypatch.setattr(graph, "uuid4", lambda: Known)
    started = asyncio.Event()
    name = program("import time\nprint('{}', flush=True)\ntime.sleep(600)")
    task = asyncio.create_task(run_program(name, [], lambda _message: started.set()))
    await started.wait()
    assert len(processes.left_over(Known.hex)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes.left_over(Known.hex) == []


async def test_a_program_of_rounds_is_asked_again_and_again_and_ends_when_nobody_asks(
    program, monkeypatch, tmp_path
):
    said = tmp_path / "said"
    name = program(
        "import sys\n"
        "for line in sys.stdin:\n"
        '    print("{\\"step\\": 1}", flush=True)\n'
        '    print("{\\"finished\\": true}", flush=True)\n'
        f"open({str(said)!r}, 'w').write('ended by itself')\n"
    )
    monkeypatch.setattr(graph, "ROUNDS", name)
    async with rounds_of("quality-gate") as rounds:
        for _ in range(3):
            await rounds.materialize()
        assert not said.exists()
    assert said.read_text() == "ended by itself"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            'print("{\\"error\\": \\"checks failed\\"}\\n{\\"finished\\": false}", flush=True)',
            "checks failed",
        ),
        ('print("{\\"error\\": \\"nobody is called that\\"}")\nsys.exit(1)', "nobody is called that"),
        ("raise SystemExit('no such thing')", "no such thing"),
    ],
)
async def test_a_round_that_fails_says_why(program, monkeypatch, body, reason):
    monkeypatch.setattr(graph, "ROUNDS", program(f"import sys\nsys.stdin.readline()\n{body}\n"))
    with pytest.raises(GraphError, match=f"the graph did not finish: {reason}"):
        async with rounds_of("quality-gate") as rounds:
            await rounds.materialize()
