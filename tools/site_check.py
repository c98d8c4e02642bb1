"""Opens every page of the built site in headless Chromium: ``python -m tools.site_check SITE``.

In a wide and in a narrow window, no page may be wider than the window, no image may be missing, and the console must
stay free of errors. It needs Playwright, and a Chromium: that of Playwright, or of the system (Debian's ``chromium``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["WIDTHS", "faults_in", "filter_faults", "find_chromium", "main", "pages_of"]

WIDTHS = (1280, 400)
# The page with a field that filters its rows, and what is typed there.
FILTERED, TYPED = "models/", "dinov3"
HEIGHT = 900
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a page says about itself; images that load late are asked for first.
LOOK = """async () => {
  const images = [...document.images];
  images.forEach(image => { image.loading = "eager"; });
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  return {
    width: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
    broken: images.filter(image => !image.naturalWidth).map(image => image.getAttribute("src")),
  };
}"""


def pages_of(site: Path) -> list[str]:
    """Paths of all pages of a built site, as they are asked for."""
    return sorted(path.relative_to(site).as_posix().removesuffix("index.html") for path in site.rglob("*.html"))


def faults_in(seen: dict[str, Any], said: Sequence[str]) -> list[str]:
    """What is wrong with a page.

    Args:
        seen: Its ``width`` and that of its ``window`` in pixels, and the sources of its ``broken`` images.
        said: Errors in the console, and requests that failed.
    """
    faults = [f"image {source} is missing" for source in seen["broken"]]
    if seen["width"] > seen["window"]:
        faults.insert(0, f"it is {seen['width']} px wide in a window of {seen['window']} px")
    return [*faults, *said]


def find_chromium() -> str | None:
    """The path of a browser of the system, or of the variable CHROMIUM; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def _served(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _open(browser: Any, address: str, width: int, shot: Path | None) -> list[str]:
    """Faults of a page at a width; a new window each, so that no page sees what another one has left."""
    page = browser.new_page(viewport={"width": width, "height": HEIGHT})
    said: list[str] = []
    page.on("console", lambda message: said.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(f"script: {error}"))
    page.on("request", lambda asked: None if _is_local(asked.url) else said.append(f"asks another host: {asked.url}"))
    try:
        page.goto(address, wait_until="networkidle")
        faults = faults_in(page.evaluate(LOOK), said)
        if shot is not None:
            page.screenshot(path=str(shot), full_page=True)
        return faults
    finally:
        page.close()


def _filter_faults(browser: Any, address: str) -> list[str]:
    """Whether the field of the models page leaves the rows that have what is typed, and no others."""
    page = browser.new_page()
    try:
        page.goto(address + FILTERED)
        rows = page.locator("details.family tbody tr")
        wanted = [text for text in rows.all_text_contents() if TYPED in text.lower()]
        page.fill("input.filter", TYPED)
        shown = page.locator("details.family tbody tr:visible").all_text_contents()
        families = page.locator("details.family:visible").count()
        opened = page.locator("details.family[open]").count()
        return filter_faults(wanted, shown, families, opened)
    finally:
        page.close()


def filter_faults(wanted: Sequence[str], shown: Sequence[str], families: int, opened: int) -> list[str]:
    """What is wrong with the field that filters.

    Args:
        wanted: Rows that have what is typed.
        shown: Rows that are seen.
        families: Number of families that are seen.
        opened: Number of those that are open.
    """
    faults = [] if list(wanted) == list(shown) and wanted else [f"the filter shows {len(shown)} of {len(wanted)} rows"]
    return faults + ([] if families == opened else [f"the filter shows {families} families, {opened} of them open"])


def _is_local(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "data:", "blob:"))


def _check(browser: Any, site: Path, shots: Path | None) -> int:
    """Prints the faults of all pages, and returns their number."""
    count, pages = 0, pages_of(site)
    with _served(site) as address:
        for path in pages:
            for width in WIDTHS:
                name = f"{path.strip('/').replace('/', '-') or 'index'}-{width}.png"
                for fault in _open(browser, address + path, width, shots and shots / name):
                    print(f"{path or 'index'} at {width} px: {fault}")
                    count += 1
        for fault in _filter_faults(browser, address) if FILTERED in pages else ():
            print(f"{FILTERED}: {fault}")
            count += 1
    print(f"{len(pages)} pages, each at {' and '.join(map(str, WIDTHS))} px: {count} faults.")
    return count


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all pages are right, 1 if not, 2 if something is missing."""
    parser = argparse.ArgumentParser(description="Open every page of the built site in headless Chromium.")
    parser.add_argument("site", type=Path, help="the folder that mkdocs has built")
    parser.add_argument("--shots", type=Path, metavar="DIR", help="keep a picture of each page there")
    args = parser.parse_args(argv)
    if not pages_of(args.site):
        print(f"{args.site} has no pages; `make docs` builds them.", file=sys.stderr)
        return 2
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        print("Playwright is not installed: pip install playwright", file=sys.stderr)
        return 2
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        try:
            # Without a sandbox, since root has none, and no page of another host is opened.
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        except Error as error:
            print(
                f"{error}\nInstall Chromium: `apt install chromium`, or `playwright install chromium`.", file=sys.stderr
            )
            return 2
        with browser:
            return 1 if _check(browser, args.site, args.shots) else 0


if __name__ == "__main__":
    sys.exit(main())
