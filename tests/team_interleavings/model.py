"""What should be true of a team, in plain dictionaries: no code of the product.

What belongs here: tasks, what each adds to a release, and which release took which. What does not: reading
the databases (`machine`).
"""

from collections import Counter
from dataclasses import dataclass, field

Step = tuple[int, int, float, int]
"""State, action, reward in points, next state."""


@dataclass
class Task:
    """One task of one agent.

    Attributes:
        agent: whose.
        developer: for whom; None for nobody.
        steps: in order.
        is_finished: whether its end is in the log.
        release: the release that took it and still counts; None for none.
        is_passed_over: a release was made without it, because somebody had opted out.
    """

    agent: str
    developer: str | None
    steps: list[Step]
    is_finished: bool = False
    release: str | None = None
    is_passed_over: bool = False


@dataclass
class Member:
    """What one contributor's database should hold.

    Attributes:
        tasks: by name.
        opted_out: developers and agents that do not take part.
        releases: known ones, and the counts each must have had before noise, by agent.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    opted_out: set[str] = field(default_factory=set)
    releases: dict[str, dict[str, "Counts"]] = field(default_factory=dict)

    def is_out(self, task: Task) -> bool:
        """Return whether a task is somebody's who does not take part."""
        return task.agent in self.opted_out or task.developer in self.opted_out

    def waiting(self) -> list[str]:
        """Return the tasks that the next release takes."""
        return [
            name
            for name, task in self.tasks.items()
            if task.is_finished and not task.release and not task.is_passed_over and not self.is_out(task)
        ]

    def take(self, release: str, agents: tuple[str, ...]) -> None:
        """Let a release take what waits, and pass over those that are out."""
        taken = [self.tasks[name] for name in self.waiting()]
        self.releases[release] = {
            agent: counted([task.steps for task in taken if task.agent == agent]) for agent in agents
        }
        for task in taken:
            task.release = release
        for task in self.tasks.values():
            if task.is_finished and not task.release and self.is_out(task):
                task.is_passed_over = True

    def free(self, release: str) -> None:
        """Let the tasks of a withdrawn release wait again."""
        for task in self.tasks.values():
            if task.release == release:
                task.release = None

    def log_visits(self, agent: str) -> Counter[tuple[int, int]]:
        """Return how often each pair is in the log."""
        return Counter(
            (state, action)
            for task in self.tasks.values()
            if task.agent == agent
            for state, action, _, _ in task.steps
        )


@dataclass
class Counts:
    """What tasks of one agent add up to: each pair once in each task, at its first visit.

    Attributes:
        units: tasks.
        visits: by state and action.
        rewards: hundredths of points, by state and action.
    """

    units: int
    visits: Counter[tuple[int, int]]
    rewards: Counter[tuple[int, int]]


def counted(tasks: list[list[Step]]) -> Counts:
    """Return what these tasks add up to."""
    visits: Counter[tuple[int, int]] = Counter()
    rewards: Counter[tuple[int, int]] = Counter()
    for steps in tasks:
        seen = set()
        for state, action, reward, _ in steps:
            if (state, action) not in seen:
                seen.add((state, action))
                visits[state, action] += 1
                rewards[state, action] += round(100 * reward)
    return Counts(len(tasks), visits, rewards)
