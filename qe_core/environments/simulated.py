"""A world as a Gymnasium environment, so that any tool for reinforcement learning can use it.

What belongs here: stepping through a world's arrays one action at a time. What does not: the arrays and
their exact values (`world`) and playing many episodes fast (`rollouts`).
"""

from typing import Any, SupportsInt

import gymnasium
import numpy as np

from qe_core.environments.catalogue import world_of
from qe_core.environments.world import NOISE_SPAN, World
from qe_core.errors import StateError
from qe_core.fleet.registry import registry
from qe_core.learning.arrays import Float64Array


class SimulatedEnv(gymnasium.Env[np.int64, np.int64]):
    """One agent in one simulated world.

    An observation is the encoded state (`StateModel.encode`), an action its column in the contract.
    ``gymnasium.make`` adds the contract's horizon as a time limit, which truncates.

    Attributes:
        world: the arrays and exact values behind the environment.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - declared as a plain dict by the base class

    def __init__(self, agent: str, world_seed: int = 0, render_mode: str | None = None) -> None:
        """Draw the world.

        Args:
            agent: the agent's name in the registry.
            world_seed: which world of the agent's family, 0 or more.
            render_mode: "ansi" for a line of text per state, or None.

        Raises:
            UnknownAgentError: no such agent.
            NoWorldError: nobody declared a world for this agent.
        """
        self.world: World = world_of(registry().get(agent), world_seed)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Discrete(self.world.state_count)
        self.action_space = gymnasium.spaces.Discrete(self.world.action_count)
        self._state: int | None = None

    @property
    def transition(self) -> Float64Array:
        """P of going on to each state, float64[R, A, R], over the R reachable states in ascending order.

        A row's probabilities sum to 1 less the chance that the episode ends there.
        """
        return self.world.dense_transition()

    @property
    def reward(self) -> Float64Array:
        """Mean reward of each pair, points, float64[S, A]."""
        return self.world.reward_mean

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Start an episode and return its first state.

        Args:
            seed: restarts the environment's source of chance.
            options: ``state`` for the code of the state to start in, in place of one drawn.

        Raises:
            StateError: the world never reaches that state.
        """
        super().reset(seed=seed, options=options)
        starts = np.flatnonzero(self.world.start)
        self._state = int(self.np_random.choice(starts, p=self.world.start[starts]))
        if options and "state" in options:
            self._state = int(options["state"])
            if not (0 <= self._state < self.world.state_count and self.world.is_reachable[self._state]):
                raise StateError(f"no task is ever in state {self._state} of this world; name another one")
        return np.int64(self._state), {}

    def step(self, action: SupportsInt) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Take an action; return next state, reward in points, terminated, truncated and no further facts.

        Raises:
            StateError: the action does not exist, or the episode was not started or is over.
        """
        column = int(action)
        if self._state is None:
            raise StateError("no episode is under way; call reset() first")
        if not 0 <= column < self.world.action_count:
            raise StateError(f"action {column} is not one of 0 to {self.world.action_count - 1}")
        rows = self.world.outcomes(self._state, column)
        chances = self.world.probability[rows]
        row = rows.start + int(self.np_random.choice(len(chances), p=chances / chances.sum()))
        noise = self.np_random.random() + self.np_random.random() - 1.0
        sd = self.world.reward_sd[self._state, column]
        reward = float(self.world.reward_mean[self._state, column] + NOISE_SPAN * sd * noise)
        successor, terminated = int(self.world.next_state[row]), bool(self.world.terminated[row])
        self._state = None if terminated else successor
        return np.int64(successor), reward, terminated, False, {}

    def render(self) -> str | None:
        """Return the state's features as text in render mode "ansi", else nothing."""
        if self.render_mode != "ansi":
            return None
        if self._state is None:
            return "no episode under way"
        state = self.world.contract.state_model.decode(self._state)
        return ", ".join(f"{name}={label}" for name, label in state.model_dump().items())
