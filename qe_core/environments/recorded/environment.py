"""A project session over recorded outcomes as a Gymnasium environment: ``qe/test-generator-recorded-v0``.

What belongs here: stepping through the replay one action at a time. What does not: the replay itself
(`replay`) and playing many sessions fast (`training`, `evaluation`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsInt

import gymnasium
import numpy as np

from qe_core.environments.recorded.project import BoolArray, Int64Array, compile_project
from qe_core.environments.recorded.recordings import DEFAULT_FOLDER, TRAINING, Recordings
from qe_core.environments.recorded.replay import find_valid, has_ended, move_on, observe, spend_slice
from qe_core.environments.recorded.session import (
    AREA,
    BUDGET,
    CURRENT,
    MEASUREMENTS,
    MUTANT_AREA,
    NOW,
    SLICE_SECONDS,
    SessionArrays,
    open_session,
)
from qe_core.environments.recorded.sessions import Session
from qe_core.errors import RecordingError, StateError
from qe_core.fleet.test_generation import TEST_GENERATOR, TestGeneratorAction


class RecordedSessionEnv(gymnasium.Env[np.int64, np.int64]):
    """One agent testing one recorded project after the other.

    An observation is the encoded state of the current module (`TestGeneratorState.encode`), an action its
    column in the contract. An action that makes no sense, a strategy that is over or moving on in a circle,
    moves on.

    Attributes:
        recordings: what is replayed.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - declared as a plain dict by the base class

    def __init__(
        self,
        recordings: Recordings | None = None,
        folder: Path | None = None,
        split: str = TRAINING,
        seconds_per_module: float = 3.0,
        repetitions: Sequence[int] = (0, 1),
        package: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose what is replayed.

        Args:
            recordings: outcomes to replay; read from ``folder`` where left out.
            folder: where the Parquet files lie; those that ship with the package where left out.
            split: which packages projects are drawn from.
            seconds_per_module: the budget, CPU seconds for each module, above 0.
            repetitions: which repetitions are drawn from.
            package: the only package to draw, whatever its split.
            render_mode: "ansi" for a line of text per state, or None.

        Raises:
            RecordingError: the recording cannot be used, or a name or number is unknown or out of range.
        """
        self.recordings = Recordings.load(folder or DEFAULT_FOLDER) if recordings is None else recordings
        packages = self.recordings.packages(split) if package is None else (package,)
        self._projects = [
            compile_project(self.recordings, name, repetition)
            for name in packages
            for repetition in repetitions
        ]
        if not self._projects:
            raise RecordingError(
                f"there is nothing recorded to draw for split {split!r}; name other repetitions"
            )
        self._seconds = seconds_per_module
        Session(self._projects[0], seconds_per_module)  # refuses a budget that is not above 0
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Discrete(TEST_GENERATOR.state_count)
        self.action_space = gymnasium.spaces.Discrete(TEST_GENERATOR.action_count)
        self._session: Session | None = None
        self._arrays: SessionArrays | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Start a session on a project drawn from those chosen; return the first module's state.

        Args:
            seed: restarts the environment's source of chance.
            options: ``order`` for the positions of the modules that make the project, in order.

        Raises:
            RecordingError: the order names a module that does not exist, or one twice.
        """
        super().reset(seed=seed, options=options)
        project = self._projects[int(self.np_random.integers(len(self._projects)))]
        if options and "order" in options:
            project = project.in_order(options["order"])
        self._session = Session(project, self._seconds)
        self._arrays = open_session(project.arrays, self._session.budget_seconds)
        return self._observation(), self._facts()

    def step(self, action: SupportsInt) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Spend a slice or move on; return state, reward in points, terminated, truncated and facts.

        Raises:
            StateError: the action does not exist, or no session is going on.
        """
        session, arrays = self._going_on()
        column = int(action)
        if not 0 <= column < TEST_GENERATOR.action_count:
            raise StateError(
                f"there is no action {column}; the test generator has 0 to {TEST_GENERATOR.action_count - 1}"
            )
        project = session.project.arrays
        reward = 0.0
        name = TEST_GENERATOR.action_names[column]
        if name == TestGeneratorAction.MOVE_ON or not self._valid()[column]:
            move_on(project, arrays)
        else:
            found = np.zeros(len(MEASUREMENTS))
            spend_slice(project, arrays, arrays.place[CURRENT], column, SLICE_SECONDS, found)
            reward = TEST_GENERATOR.reward.reward(dict(zip(MEASUREMENTS, found.tolist(), strict=True)))
        is_over = bool(has_ended(project, arrays))
        result = self._observation(), reward, is_over, False, self._facts()
        if is_over:
            self._session = None
        return result

    def render(self) -> str | None:
        """Return the current state in words, or None without a render mode."""
        if self.render_mode is None:
            return None
        session, arrays = self._going_on()
        state = TEST_GENERATOR.state_model.decode(int(self._observation()))
        words = ", ".join(f"{name} {label}" for name, label in state.model_dump().items())
        module = session.project.modules[arrays.place[CURRENT]]
        return f"{arrays.clock[NOW]:.1f} of {arrays.clock[BUDGET]:.1f} s, {module}: {words}"

    def _going_on(self) -> tuple[Session, SessionArrays]:
        if self._session is None or self._arrays is None:
            raise StateError("no session is going on: call reset first")
        return self._session, self._arrays

    def _observation(self) -> np.int64:
        session, arrays = self._going_on()
        return np.int64(observe(session.project.arrays, arrays, arrays.place[CURRENT]))

    def _valid(self) -> BoolArray:
        session, arrays = self._going_on()
        valid = np.zeros(TEST_GENERATOR.action_count, dtype=np.bool_)
        find_valid(session.project.arrays, arrays, valid)
        return valid

    def _facts(self) -> dict[str, Any]:
        """Return which actions make sense, every module's state, the time used and the areas so far."""
        session, arrays = self._going_on()
        states: Int64Array = np.asarray(
            [
                observe(session.project.arrays, arrays, module)
                for module in range(session.project.module_count)
            ]
        )
        return {
            "action_mask": self._valid().astype(np.int8),
            "module_states": states,
            "package": session.project.package,
            "repetition": session.project.repetition,
            "module": session.project.modules[arrays.place[CURRENT]],
            "seconds_used": float(arrays.clock[NOW]),
            "area": float(arrays.clock[AREA]),
            "mutant_area": float(arrays.clock[MUTANT_AREA]),
        }
