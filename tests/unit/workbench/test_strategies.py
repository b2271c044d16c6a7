"""Every light strategy on the tiny package: what it finds can be told beforehand."""

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qe_core.workbench.inside.oracles import run_test
from qe_core.workbench.inside.strategies import (
    doctests,
    edge_values,
    literals,
    neighbour_tests,
)
from qe_core.workbench.inside.strategies.callables import PROLOGUE, Parameter, Target, discover
from qe_core.workbench.inside.strategies.edge_values import EDGES
from qe_core.workbench.inside.strategies.literals import Mine
from qe_core.workbench.inside.strategies.neighbour_tests import (
    count_tests,
    few_cases,
    is_own_test,
    neighbour_files,
)


@pytest.mark.parametrize("strategy", [literals, edge_values])
def test_caller_emits_runnable_tests_in_the_order_of_the_clock(tiny: Any, strategy: Any) -> None:
    strategy.run(tiny.spec)
    tests = tiny.emitted()
    assert len(tests) > 5
    assert [test["seconds"] for test in tests] == sorted(test["seconds"] for test in tests)
    for test in tests:
        ast.parse(test["source"])
        assert test["source"].startswith(PROLOGUE.format("tiny.shapes"))


def test_caller_reaches_functions_constructors_and_methods(tiny: Any) -> None:
    edge_values.run(tiny.spec)
    sources = "\n".join(test["source"] for test in tiny.emitted())
    for call in ("m.area(", "m.name(", "r = m.Box(", "o = m.Box(", "o.fits("):
        assert call in sources


def test_mined_literal_finds_the_triangle(tiny: Any) -> None:
    literals.run(tiny.spec)
    outcomes = {run_test(test, "tiny.shapes", {}) for test in tiny.emitted() if "m.name(" in test["source"]}
    assert {"r = 'triangle'", "r = 'polygon'"} <= outcomes


def test_same_seed_gives_the_same_tests(tiny: Any) -> None:
    runs = []
    for seed in (1, 1, 2):
        Path(tiny.spec["tests"]).unlink(missing_ok=True)
        edge_values.run({**tiny.spec, "seed": seed})
        runs.append([test["source"] for test in tiny.emitted()])
    assert runs[0] == runs[1] != runs[2]


def test_discovery_lists_what_the_module_defines(tiny: Any) -> None:
    import importlib

    targets = discover(importlib.import_module("tiny.shapes"))
    assert [(target.path, target.owner) for target in targets] == [
        ("m.area", ""),
        ("m.name", ""),
        ("m.Box", "m.Box"),
        (".fits()", "m.Box"),
    ]
    assert targets[0].parameters[0] == Parameter("width", "int", True, False, False)


def test_call_that_never_returns_is_given_up(tiny: Any) -> None:
    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text(
        "def forever(flag: bool):\n    while True:\n        pass\n\n\ndef fine():\n    return 1\n"
    )
    edge_values.run(tiny.spec)
    assert ["m.fine()" in test["source"] for test in tiny.emitted()] == [True]


@pytest.mark.parametrize(
    ("annotation", "types"),
    [("int", {"int"}), ("str | None", {"str", "NoneType"}), ("Mapping[str, int]", {"dict", "str", "int"})],
)
def test_annotation_chooses_the_edge_values(annotation: str, types: set[str]) -> None:
    assert {value.type_name for value in edge_values.edge_values(annotation)} == types


def test_without_annotation_every_edge_value_is_tried() -> None:
    expressions = {value.expression for value in edge_values.edge_values()}
    assert expressions == {text for texts in EDGES.values() for text in texts}
    for expression in expressions:
        compile(expression, "<edge>", "eval")


def test_mine_reads_constants_examples_and_what_is_next_to_them() -> None:
    mine = Mine('def f(a):\n    """Say `word`.\n\n    >>> f("x", 5)\n    """\n    return a == 41\n')
    assert {"41", "41 + 1", "'word'", "'x'", "5"} <= mine.pool.keys()
    assert [[value.expression for value in row] for row in mine.arguments["f"]] == [["'x'", "5"]]


def test_documented_arguments_come_first(tiny: Any) -> None:
    import importlib

    values = literals.value_source(importlib.import_module("tiny.shapes"), seed=1)
    width, height = (Parameter(name, "int", True, False, False) for name in ("width", "height"))
    target = Target("m.area", (width, height))
    assert [value.expression for value in values(target, width)[:2]] == ["2", "-1"]
    assert [value.expression for value in values(target, height)[:1]] == ["3"]


def test_each_example_is_emitted_with_those_before_it(tiny: Any) -> None:
    doctests.run(tiny.spec)
    first, second = tiny.emitted()
    assert first["source"] == ">>> area(2, 3)\n6\n\n"
    assert second["source"].startswith(first["source"] + ">>> area(-1, 3)\nTraceback")
    assert {test["passed"] for test in (first, second)} == {True}


@pytest.mark.parametrize("example", [">>> area(2, 3)\n    7", ">>> area()\n    7"])
def test_example_that_does_not_hold_is_counted_as_failing(tiny: Any, example: str) -> None:
    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text(file.read_text().replace(">>> area(2, 3)\n    6", example))
    doctests.run(tiny.spec)
    assert [test["passed"] for test in tiny.emitted()] == [False, True]


def test_neighbours_are_all_test_files_but_the_module_s_own(tiny: Any) -> None:
    tests = tiny.spec["shipped_tests"]
    (Path(tests) / "test_network.py").write_text("import socket\n")
    assert [file.name for file in neighbour_files(tests, "tiny.shapes")] == ["test_other.py"]
    assert [file.name for file in neighbour_files(tests, "tiny.other")] == ["test_shapes.py"]
    assert count_tests(neighbour_files(tests, "tiny.shapes")) == 2


def test_neighbours_run_under_pytest_and_failures_are_counted(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    neighbour_tests.run(tiny.spec)
    assert [(test["source"], test["passed"]) for test in tiny.emitted()] == [
        ("test_other.py::test_square[1]", True),
        ("test_other.py::test_square[2]", True),
        ("test_other.py::test_wrong", False),
    ]


def test_package_without_neighbours_emits_nothing(tiny: Any) -> None:
    neighbour_tests.run({**tiny.spec, "shipped_tests": ""})
    assert tiny.emitted() == []


def test_only_the_first_cases_of_a_parametrised_test_are_run() -> None:
    items = [SimpleNamespace(nodeid=f"f.py::test_a[{case}]") for case in range(9)]
    items += [SimpleNamespace(nodeid="f.py::test_b")]
    assert [item.nodeid[-3:] for item in few_cases(items)] == ["[0]", "[1]", "[2]", "[3]", "[4]", "t_b"]


@pytest.mark.parametrize(
    ("file", "module", "is_own"),
    [
        ("test_shapes.py", "tiny.shapes", True),
        ("shapes_test.py", "tiny._shapes", True),
        ("test_sub_shapes.py", "tiny.sub.shapes", True),
        ("test_shape.py", "tiny.shapes", False),
    ],
)
def test_own_test_file_is_told_by_its_name(file: str, module: str, is_own: bool) -> None:
    assert is_own_test(Path(file), module) is is_own
