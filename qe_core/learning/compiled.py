"""The one way functions of the learning core are compiled.

What belongs here: the decorator. What does not: compiled functions themselves.
The compiler's cache is checked against the modification time of a function's *own* file only, so a compiled
function may call other compiled functions of its own module, never of another one.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(function: FunctionT) -> FunctionT:
    """Return ``function`` compiled to machine code on first call, exact (no fast-math), without the GIL.

    Machine code is kept on disk between processes: beside the module, or in the user's cache directory where
    the installation is read-only. Where neither can be written the function is compiled anew in each process.
    The plain Python function stays available as ``.py_func``.
    """
    try:
        return cast(FunctionT, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # what numba raises when no cache directory is writable
        return cast(FunctionT, numba.njit(nogil=True)(function))
