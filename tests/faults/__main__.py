"""Entry point of ``python -m tests.faults``.

What belongs here: what must happen before there are threads. What does not: everything else (`command`).
"""

from tests.faults.small_disk import enter_own_mounts


def start() -> None:
    """Enter mounts of our own, then import what starts threads and run."""
    cannot_mount = enter_own_mounts()
    import typer

    from tests.faults.command import main

    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(main)
    application(default_map={"cannot_mount": cannot_mount or ""})


if __name__ == "__main__":
    start()
