"""The Python in the documentation runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {
    "how-to/decide-and-record.md": "durable as version 1",
    "how-to/keep-private.md": "recording for nobody who was named",
    "how-to/roll-out.md": "decided by version",
    "how-to/share-with-your-team.md": "sharing is off: nothing leaves",
}
"""What each example of a page prints."""


@pytest.mark.parametrize(("page", "printed"), PAGES.items())
def test_the_examples_of_a_page_run(page: str, printed: str, database_url: str, tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example],
            env={"QE_DATABASE_URL": database_url, "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout
