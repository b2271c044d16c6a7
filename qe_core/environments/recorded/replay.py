"""Exact replay of a project session, compiled: slices, moves, what is seen, and whole sessions of a policy.

What belongs here: everything that runs once a step, in one module because compiled code may only call
compiled code of its own module. What does not: choosing projects and policies (`project`, `rules`,
`policy`).

A strategy's process is paused between slices, so what a module's strategies reached together is the union of
what each reached in the seconds it was given (ADR 0050).
"""

import numpy as np

from qe_core.environments.recorded.project import TRAITS, Float64Array, Int64Array, ReplayArrays
from qe_core.environments.recorded.session import (
    AREA,
    BUDGET,
    CURRENT,
    MOVES,
    NOW,
    STEPS,
    SessionArrays,
)
from qe_core.fleet.test_generation import STRATEGIES
from qe_core.learning.arrays import BoolArray
from qe_core.learning.compiled import compiled

SHORTEST_SECONDS = 0.02
"""Seconds that a slice counts at least, so that a run that ends at once has no endless rate."""

TOOL_SECONDS = 16.0
"""Seconds expected for testing one module thoroughly: all seven strategies until they bring little more."""

EPSILON = 1e-9
"""Seconds that do not count as time left, so that rounding cannot add a slice."""

SIZE, RISK, EXAMPLES = (TRAITS.index(name) for name in ("size", "risk", "examples"))
LITERALS, EDGE_VALUES, DOCTESTS, NEIGHBOURS, GHOSTWRITER, DYNAMOSA, MIO = range(len(STRATEGIES))


@compiled
def is_over(project: ReplayArrays, session: SessionArrays, module: int, strategy: int) -> bool:
    """Whether a strategy has nothing more to give on a module: its run ended."""
    return bool(project.ends[module, strategy] - session.spent[module, strategy] <= EPSILON)


@compiled
def has_ended(project: ReplayArrays, session: SessionArrays) -> bool:
    """Whether the session is over: the budget is used up, or every run has ended."""
    if session.clock[BUDGET] - session.clock[NOW] <= EPSILON:
        return True
    for module in range(project.ends.shape[0]):
        for strategy in range(project.ends.shape[1]):
            if not is_over(project, session, module, strategy):
                return False
    return True


@compiled
def find_valid(project: ReplayArrays, session: SessionArrays, valid: BoolArray) -> None:
    """Set ``valid`` to which actions make sense: strategies that are not over, and moving on.

    Moving on makes sense until every other module was looked at without a slice, and always where no
    strategy is left.
    """
    modules, strategies = project.ends.shape
    is_any_left = False
    for strategy in range(strategies):
        valid[strategy] = not is_over(project, session, session.place[CURRENT], strategy)
        is_any_left = is_any_left or valid[strategy]
    valid[strategies] = not is_any_left or session.place[MOVES] < modules - 1


@compiled
def move_on(project: ReplayArrays, session: SessionArrays) -> None:
    """Go to the next module in the project's order, from the last to the first; takes no time."""
    session.place[CURRENT] = (session.place[CURRENT] + 1) % project.ends.shape[0]
    session.place[MOVES] += 1
    session.place[STEPS] += 1


@compiled
def spend_slice(
    project: ReplayArrays,
    session: SessionArrays,
    module: int,
    strategy: int,
    slice_seconds: float,
    measurements: Float64Array,
) -> float:
    """Give ``strategy`` a slice on ``module``; return the seconds used and fill the measurements.

    The first slice lasts ``slice_seconds``, each later one as long as all before it; a slice ends early when
    the run or the budget does.
    """
    modules, strategies = project.ends.shape
    now, budget = session.clock[NOW], session.clock[BUDGET]
    before = session.spent[module, strategy]
    used = max(0.0, min(max(slice_seconds, before), project.ends[module, strategy] - before, budget - now))
    gained = np.zeros(project.totals.shape[0], dtype=np.int64)
    for kind in range(project.totals.shape[0]):
        run = (kind * modules + module) * strategies + strategy
        cursor = session.cursors[run]
        while cursor < project.starts[run + 1] and project.times[cursor] <= before + used:
            item = project.items[cursor]
            if session.reached_at[item] == np.inf:
                moment = now + max(0.0, project.times[cursor] - before)
                session.reached_at[item] = moment
                gained[kind] += 1
                if kind < 2:
                    session.clock[AREA + kind] += (budget - moment) / budget / project.totals[kind]
            cursor += 1
        session.cursors[run] = cursor
    session.spent[module, strategy] = before + used
    session.clock[NOW] = now + used
    pace = 1.0 / max(used, SHORTEST_SECONDS)
    uncovered = max(project.branches[module] - session.covered[module], 1)
    living = max(project.mutants[module] - session.killed[module], 1)
    measurements[0] = gained[0] / uncovered * pace
    measurements[1] = gained[1] / living * pace
    is_late = 2 * session.covered[module] >= project.branches[module]
    measurements[2] = measurements[0] if is_late else 0.0
    measurements[3] = 1.0 + used / (TOOL_SECONDS * modules)
    measurements[4] = -max(0, gained[2] - gained[0]) / max(project.branches[module], 1)
    session.covered[module] += gained[0]
    session.killed[module] += gained[1]
    session.last_gain[module, strategy] = gained[0]
    session.rewarded[module, strategy] |= gained[0] > 0
    session.slices[module, strategy] += 1
    session.history[module] = (2 * session.history[module] + (gained[0] > 0)) & 3
    session.place[CURRENT] = module
    session.place[MOVES] = 0
    session.place[STEPS] += 1
    return float(used)


@compiled
def observe(project: ReplayArrays, session: SessionArrays, module: int) -> int:
    """Return the code of a module's state: that of ``TestGeneratorState`` given the same facts."""
    uncovered = project.branches[module] - session.covered[module]
    slices = session.slices[module].sum()
    successes = (session.history[module] & 1) + (session.history[module] >> 1)
    track_record = successes / min(slices, 2) if slices > 0 else 1.0
    tried = session.slices[module] > 0
    neighbours = 0
    if tried[NEIGHBOURS]:
        neighbours = (
            2 if session.rewarded[module, NEIGHBOURS] or is_over(project, session, module, NEIGHBOURS) else 1
        )
    digits = (
        project.traits[module, SIZE],
        project.traits[module, RISK],
        np.searchsorted(project.edges[0], track_record, side="right"),
        np.searchsorted(project.edges[1], uncovered / max(project.branches[module], 1), side="right"),
        tried[LITERALS] + 2 * tried[EDGE_VALUES],
        project.traits[module, EXAMPLES] and not tried[DOCTESTS],
        neighbours,
        np.searchsorted(project.edges[2], session.spent[module].sum(), side="right"),
        np.searchsorted(
            project.edges[3],
            max(session.clock[BUDGET] - session.clock[NOW], 0.0) / project.ends.shape[0],
            side="right",
        ),
    )
    code = 0
    for position in range(len(digits)):
        code = code * project.radices[position] + int(digits[position])
    return int(code)


@compiled
def best_slice(
    project: ReplayArrays, session: SessionArrays, module: int, values: Float64Array
) -> tuple[float, int]:
    """Return what the best slice on a module promises, and its strategy; -1 where no run is left.

    A value counts for a share of the module's uncovered branches, so it promises that many branches: shares
    carry over from one project to another, branches are what is to be gained in this one.
    """
    row = values[observe(project, session, module)]
    best_value, best_strategy = -np.inf, -1
    for strategy in range(project.ends.shape[1]):
        if row[strategy] > best_value and not is_over(project, session, module, strategy):
            best_value, best_strategy = row[strategy], strategy
    if best_value > 0.0:
        best_value *= project.branches[module] - session.covered[module]
    return best_value, best_strategy


@compiled
def next_action(project: ReplayArrays, session: SessionArrays, values: Float64Array) -> int:
    """Return what a policy by ``values`` does: the best slice of all modules, moving on until it is there.

    A tie between modules goes to the one that comes first when moving on.

    Args:
        project: what is replayed.
        session: what happened so far; not ended.
        values: of each (state, action), float64[S, A].
    """
    modules, strategies = project.ends.shape
    best_value, best_strategy, best_distance = -np.inf, strategies, 1
    for distance in range(modules):
        module = (session.place[CURRENT] + distance) % modules
        value, strategy = best_slice(project, session, module, values)
        if strategy >= 0 and value > best_value:
            best_value, best_strategy, best_distance = value, strategy, distance
    return int(best_strategy if best_distance == 0 else strategies)


@compiled
def play_table(
    project: ReplayArrays,
    session: SessionArrays,
    values: Float64Array,
    slice_seconds: float,
    measurements: Float64Array,
) -> None:
    """Play a session to its end by the values of a Q-table."""
    while not has_ended(project, session):
        action = next_action(project, session, values)
        if action == project.ends.shape[1]:
            move_on(project, session)
        else:
            spend_slice(project, session, session.place[CURRENT], action, slice_seconds, measurements)


@compiled
def points_of(measurements: Float64Array, weights: Float64Array, full_scales: Float64Array) -> float:
    """Return the contract's reward in points, equal to ``RewardModel.reward`` of the same measurements.

    Args:
        measurements: in the order of `MEASUREMENTS`.
        weights: of the contract's reward terms.
        full_scales: of the terms that are gains; 0 for the one relative to an expected figure.
    """
    points = 0.0
    for term in range(len(measurements)):
        if full_scales[term] > 0.0:
            score = measurements[term] / full_scales[term]
        else:
            score = 1.0 - measurements[term]
        points += 100.0 * weights[term] * max(-1.0, min(1.0, score))
    return max(-100.0, min(100.0, points))


@compiled
def explore(
    project: ReplayArrays,
    session: SessionArrays,
    values: Float64Array,
    exploration_rate: float,
    rng: np.random.Generator,
    slice_seconds: float,
    weights: Float64Array,
    full_scales: Float64Array,
    integers: Int64Array,
    numbers: Float64Array,
) -> int:
    """Play an episode ε-greedily and return its number of steps; a valid action is drawn when exploring.

    Args:
        project: what is replayed.
        session: a session before its first step.
        values: what the greedy choice goes by, float64[S, A].
        exploration_rate: ε in [0, 1].
        rng: the only source of chance.
        slice_seconds: the length of a first slice.
        weights: of the contract's reward terms, float64[T].
        full_scales: of the same, see `points_of`, float64[T].
        integers: takes state, action, next state and end (0 none, 1 terminated, 2 truncated), int64[H, 4].
        numbers: takes reward and propensity, float64[H, 2].
    """
    strategies = project.ends.shape[1]
    valid = np.zeros(strategies + 1, dtype=np.bool_)
    measurements = np.zeros(len(weights))
    state = observe(project, session, session.place[CURRENT])
    for step in range(len(integers)):
        find_valid(project, session, valid)
        greedy = next_action(project, session, values)
        action = greedy
        if rng.random() < exploration_rate:
            action = np.flatnonzero(valid)[rng.integers(0, valid.sum())]
        propensity = exploration_rate / valid.sum() + (1.0 - exploration_rate) * (action == greedy)
        points = 0.0
        if action == strategies:
            move_on(project, session)
        else:
            spend_slice(project, session, session.place[CURRENT], action, slice_seconds, measurements)
            points = points_of(measurements, weights, full_scales)
        successor = observe(project, session, session.place[CURRENT])
        is_over_now = has_ended(project, session)
        end = 1 if is_over_now else (2 if step == len(integers) - 1 else 0)
        integers[step, 0], integers[step, 1] = state, action
        integers[step, 2], integers[step, 3] = successor, end
        numbers[step, 0], numbers[step, 1] = points, propensity
        if end:
            return step + 1
        state = successor
    return len(integers)


@compiled
def peek_gain(
    project: ReplayArrays, session: SessionArrays, size: int, strategy: int, slices: int, slice_seconds: float
) -> tuple[float, float]:
    """Return what ``strategy`` would add on all modules of a size, and the seconds it would take.

    Args:
        project: what is replayed.
        session: what happened so far; it is not changed.
        size: the size digit of the modules meant.
        strategy: which strategy.
        slices: how many slices it would get on each module, if its run lasts so long.
        slice_seconds: the length of a first slice.

    Returns:
        The share of the project's branches added, and the CPU seconds used in all.
    """
    modules, strategies = project.ends.shape
    gained, used_in_all = 0, 0.0
    for module in range(modules):
        if project.traits[module, SIZE] == size and not is_over(project, session, module, strategy):
            run = module * strategies + strategy
            spent = session.spent[module, strategy]
            until = spent
            for _ in range(slices):
                until = min(max(slice_seconds, 2.0 * until), project.ends[module, strategy])
            cursor = session.cursors[run]
            while cursor < project.starts[run + 1] and project.times[cursor] <= until:
                gained += session.reached_at[project.items[cursor]] == np.inf
                cursor += 1
            used_in_all += until - spent
    return gained / project.totals[0], used_in_all


@compiled
def follow_plan(
    project: ReplayArrays,
    session: SessionArrays,
    entries: Int64Array,
    is_depth_first: bool,
    dry_slices: int,
    slice_seconds: float,
    measurements: Float64Array,
) -> None:
    """Play a session by a fixed plan, over and over until nothing is left of the budget or of the runs.

    Args:
        project: what is replayed.
        session: a session before its first step.
        entries: size digit or -1 for every module, strategy, slices at a time; int64[N, 3].
        is_depth_first: go through all entries on one module before the next, instead of the other way round.
        dry_slices: leave a strategy on a module once it had so many slices and the last brought nothing;
            0 never leaves it. When everything is left that way, the plan goes on with what is not over.
        slice_seconds: the length of a first slice.
        measurements: scratch space.
    """
    modules = project.ends.shape[0]
    rounds = entries.shape[0] * modules
    while True:
        is_idle = True
        for turn in range(rounds):
            if is_depth_first:
                module, entry = turn // entries.shape[0], turn % entries.shape[0]
            else:
                entry, module = turn // modules, turn % modules
            size, strategy = entries[entry, 0], entries[entry, 1]
            if size >= 0 and size != project.traits[module, SIZE]:
                continue
            for _ in range(entries[entry, 2]):
                if (
                    is_over(project, session, module, strategy)
                    or session.clock[BUDGET] - session.clock[NOW] <= EPSILON
                ):
                    break
                is_dry = session.last_gain[module, strategy] == 0
                if dry_slices > 0 and is_dry and session.slices[module, strategy] >= dry_slices:
                    break
                spend_slice(project, session, module, strategy, slice_seconds, measurements)
                is_idle = False
        if is_idle:
            if dry_slices == 0:
                return
            dry_slices = 0


@compiled
def play_random(
    project: ReplayArrays,
    session: SessionArrays,
    rng: np.random.Generator,
    slice_seconds: float,
    measurements: Float64Array,
) -> None:
    """Play a session with valid actions drawn uniformly."""
    strategies = project.ends.shape[1]
    valid = np.zeros(strategies + 1, dtype=np.bool_)
    while not has_ended(project, session):
        find_valid(project, session, valid)
        action = np.flatnonzero(valid)[rng.integers(0, valid.sum())]
        if action == strategies:
            move_on(project, session)
        else:
            spend_slice(project, session, session.place[CURRENT], action, slice_seconds, measurements)


@compiled
def play_clairvoyant(
    project: ReplayArrays,
    session: SessionArrays,
    lookahead_slices: int,
    slice_seconds: float,
    measurements: Float64Array,
) -> None:
    """Play a session knowing every outcome: always the burst of slices that gains the most branches a second.

    A burst is 1 to ``lookahead_slices`` slices of one strategy on one module. This is greedy in bursts, so
    the area it reaches is a lower bound of the optimum.
    """
    modules, strategies = project.ends.shape
    while True:
        best_rate, best_module, best_strategy, best_slices = 0.0, -1, -1, 0
        left = session.clock[BUDGET] - session.clock[NOW]
        for module in range(modules):
            for strategy in range(strategies):
                if left <= EPSILON or is_over(project, session, module, strategy):
                    continue
                run = module * strategies + strategy
                cursor, gained = session.cursors[run], 0
                spent = session.spent[module, strategy]
                until = spent
                for slices in range(1, lookahead_slices + 1):
                    until = min(max(slice_seconds, 2.0 * until), project.ends[module, strategy], spent + left)
                    used = until - spent
                    while cursor < project.starts[run + 1] and project.times[cursor] <= until:
                        gained += session.reached_at[project.items[cursor]] == np.inf
                        cursor += 1
                    if gained > best_rate * used:
                        best_rate = gained / used
                        best_module, best_strategy, best_slices = module, strategy, slices
        if best_module < 0:
            return
        for _ in range(best_slices):
            spend_slice(project, session, best_module, best_strategy, slice_seconds, measurements)
