"""The learning benchmarks' checks find planted faults: wrong tables, biased sampling, a missed optimum."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import learning_memory, learning_replay, learning_sampling, learning_solve
from benchmarks.harness import ResultsDifferError, Running
from benchmarks.learning_world import ROWS_DRAWN, World
from benchmarks.place import Place
from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import train_on_log
from qe_core.store.server.embedded import SOCKET_NAME_LENGTH if False else None
