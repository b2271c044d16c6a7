"""Compilation keeps its cache where it can, and works where it cannot."""

import numba
import pytest

from qe_core.learning.compiled import compiled


def test_a_compiled_function_keeps_its_plain_form() -> None:
    def double(x: float) -> float:
        return 2 * x

    fast = compiled(double)
    assert fast(1.5) == 3.0
    assert fast.py_func is double


def test_without_a_writable_cache_directory_it_compiles_uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    original = numba.njit

    def refuse_cache(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(numba, "njit", refuse_cache)

    @compiled
    def triple(x: float) -> float:
        return 3 * x

    assert triple(2.0) == 6.0
