"""Takes the pictures of the docs from a sandbox whose UI is open, such as that of `make ui`.

    . …/environment        # the line that `make ui` prints
    python docs/screenshots/take.py http://127.0.0.1:3000

Needs a browser: `apt-get install chromium`. Launches one run that fails, for its picture.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile

from browser import Page, browser
from PIL import Image

HERE = Path(__file__).parent
GRAPH = HERE.with_name("asset-graph.png")
_MARGIN = 20
_PAPER = 225
"""Lighter than this are the paper and its dots."""


def main(address: str) -> None:
    """Take every picture."""
    with browser() as page:
        _rooms(page, address)
        _graph(page, address)
        month = _month(page, address)
        _launchpad(page, address)
        _overview(page, address)
        _failed_run(page, address)
    _shrink()
    print(f"the month is {month}; the pictures are in {HERE}")  # noqa: T201


def _shrink() -> None:
    """Fewer colours, which nobody sees, in a third of the bytes."""
    for path in (GRAPH, *HERE.glob("*.png")):
        picture = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        picture.save(path, optimize=True)


def _rooms(page: Page, address: str) -> None:
    """The whole graph, one box a room: without the menu beside it and the room around it."""
    page.resize(1700, 1000)
    page.open(f"{address}/asset-groups", "maintenance")
    while "fetching statuses" in page.text():
        time.sleep(1)
    page.picture(GRAPH)
    page.resize(1400, 757)
    picture = Image.open(GRAPH).convert("RGB").crop((545, 120, 1655, 990))
    drawn = picture.convert("L").point(lambda light: 255 if light < _PAPER else 0).getbbox()
    left, top, right, bottom = drawn or picture.getbbox() or (0, 0, 1, 1)
    picture.crop((left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN)).save(
        GRAPH, optimize=True
    )


def _graph(page: Page, address: str) -> None:
    # All of it in one picture, with names that can be read.
    page.resize(1400, 1250)
    page.open(f"{address}/locations/ft_ops/asset-groups/archive", "content_archive")
    page.picture(HERE / "archive.png")
    page.resize(1400, 757)


def _month(page: Page, address: str) -> str:
    page.open(
        f"{address}/assets/content_archive?view=partitions&status=MATERIALIZED", "Materialized ("
    )
    first = page.run("document.body.innerText.match(/\\n(20\\d\\d-\\d\\d-01)\\n/g).at(-1).trim()")
    page.open(f"{address}/assets/content_archive?view=partitions&partition={first}", "Metadata")
    page.picture(HERE / "month.png")
    return str(first)


def _launchpad(page: Page, address: str) -> None:
    page.open(f"{address}/locations/ft_ops/jobs/archive_old_content", "Materialize all…")
    arrow = page.run(
        """(() => {
            const all = [...document.querySelectorAll('button')];
            const at = all.findIndex(e => (e.innerText || '').trim() === 'Materialize all…');
            const box = all[at + 1].getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()"""
    )
    page.click_at(*arrow)
    page.wait_for("Open launchpad")
    page.picture(HERE / "launchpad.png")


def _overview(page: Page, address: str) -> None:
    page.open(f"{address}/assets/overview", "[Show Markdown]")
    page.click("[Show Markdown]", kind="*")
    page.wait_for("As of")
    # What is shown scrolls within itself; it opens at its end.
    page.run("document.querySelectorAll('*').forEach(e => e.scrollTo(0, 0)); scrollTo(0, 0)")
    page.picture(HERE / "overview.png")


def _failed_run(page: Page, address: str) -> None:
    """A purge of a month that nothing has archived; without its config it would be a dry run."""
    tags = {"dagster/partition": "2027-01-01"}
    config = {"ops": {"purged_content_segments": {"config": {"dry_run": False}}}}
    command = ["dagster", "job", "execute", "-m", "ft_ops.definitions"]
    command += ["-j", "purge_archived_content", "--tags", json.dumps(tags)]
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config, file)
        file.flush()
        subprocess.run([*command, "-c", file.name], check=False, capture_output=True)
    page.open(f"{address}/runs?q[0]=status:FAILURE", "purge_archived_content")
    run = page.run('document.querySelector(\'a[href^="/runs/"]:not([href*="?"])\').href')
    page.open(str(run), "STEP_FAILURE")
    page.wait_for("Next: ")
    # Below the words are the paths of this machine.
    end = page.run(
        """(() => {
            const all = [...document.querySelectorAll('*')];
            const said = all.findLast(e => (e.innerText || '').includes('Failure: purge of'));
            return said.getBoundingClientRect().bottom;
        })()"""
    )
    page.picture(HERE / "failed-run.png", height=min(end, 757))


if __name__ == "__main__":
    main(sys.argv[1])
