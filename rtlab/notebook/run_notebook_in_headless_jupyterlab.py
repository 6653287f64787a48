"""JupyterLab in headless Chromium: opens a notebook, runs it, and leaves nothing behind.

Needs Playwright, which the ``test`` extra brings.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import nbformat
import psutil
from playwright.async_api import Browser, Page, async_playwright

__all__ = [
    "FLAGS",
    "JupyterLab",
    "Run",
    "canvas_states",
    "chromium",
    "load",
    "open_browser",
    "open_notebook",
    "open_page",
    "run_all",
    "set_theme",
]

#: Command-line flags of every headless Chromium: no background traffic, no graphics hardware.
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Default timeout of every wait, in seconds: long, as a browser on a busy machine is slow.
_TIMEOUT: Final = 90.0

#: JavaScript that closes all tabs and dialogs (a dead kernel opens one), and opens a notebook.
_OPEN: Final = """async (path) => {
    for (const button of document.querySelectorAll(".jp-Dialog .jp-mod-accept")) button.click();
    for (const widget of [...jupyterapp.shell.widgets("main")]) {
        await widget.sessionContext?.shutdown().catch(() => {});
        if (widget.context) widget.context.model.dirty = false;
        widget.close();
    }
    const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
    globalThis.rtlabPanel = panel;
    await panel.context.ready;
    const kernel = () => panel.sessionContext.session?.kernel;
    while (!(kernel()?.connectionStatus === "connected" && kernel().status === "idle"))
        await new Promise((done) => setTimeout(done, 30));
    jupyterapp.shell.activateById(panel.id);
    panel.content.activeCellIndex = 0;
}"""


def chromium() -> str | None:
    """Return a Chromium's path, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class JupyterLab:
    """A JupyterLab with its own home folder, on its own port.

    Parameters
    ----------
    home : Path
        Folder for JupyterLab's settings, its log, and by default its notebooks.
    settings : dict, optional
        JupyterLab settings, plugin id → values, which override the defaults.
    root : Path, optional
        Folder of the notebooks; None is ``home / "work"``.
    """

    def __init__(self, home: Path, settings: dict[str, Any] | None = None, root: Path | None = None) -> None:
        self.home = home
        self.root = root or home / "work"
        self.token = secrets.token_hex(16)
        self._settings = {
            "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self, timeout: float = _TIMEOUT) -> None:
        """Start JupyterLab, and wait until it answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        labconfig = self.home / "config" / "labconfig"
        labconfig.mkdir(parents=True)
        (labconfig / "default_setting_overrides.json").write_text(json.dumps(self._settings))
        homes = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        # Kernels must run as in a user's JupyterLab, so without the environment variables of pytest.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        env |= {name: str(self.home / folder) for name, folder in homes.items()}
        with (self.home / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    # Under a guard, which ends JupyterLab when this process is gone.
                    *(
                        sys.executable,
                        "-P",
                        "-m",
                        "rtlab.processes.run_third_party_program",
                        "--watch-fd",
                        "0",
                        "--",
                    ),
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    "--no-browser",
                    "--allow-root",
                    "--ServerApp.ip=127.0.0.1",
                    "--ServerApp.port=0",
                    f"--ServerApp.root_dir={self.root}",
                    f"--IdentityProvider.token={self.token}",
                    "--LabApp.expose_app_in_browser=True",
                    "--LabApp.news_url=None",
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                    "--LabApp.extension_manager=readonly",
                ],
                env=env,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_end = (self.home / "log.txt").read_text(errors="replace")[-2000:]
                self.stop()
                raise RuntimeError(f"JupyterLab did not start within {timeout} s:\n{log_end}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        for info in (self.home / "runtime").glob("jpserver-*.json"):
            try:
                self.port = json.loads(info.read_text())["port"]
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}/api?token={self.token}", timeout=5
                ) as r:
                    return r.status == 200
            except (OSError, ValueError, urllib.error.URLError):
                return False
        return False

    def stop(self) -> None:
        """End JupyterLab and all of its kernels."""
        process, self._process = self._process, None
        if process is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if process.stdin is not None:
            process.stdin.close()
        for orphan in psutil.wait_procs(family, timeout=3)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()

    def __enter__(self) -> JupyterLab:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def url(self, notebook: str) -> str:
        """Return the URL that opens a notebook in this JupyterLab."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}"

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook with these code cells; return its name."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, self.root / name)
        return name


#: anywidget gives a model up whose script the page has not loaded 2 s after it was made: no message reaches
#: it any more. A headless browser shares its machine with the kernels, and now and then takes longer.
_PATIENT: Final = """const given = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => given(ms === 2000 ? 60_000 : ms);"""


@contextlib.asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """Run one headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def open_page(browser: Browser, *, ratio: float = 1.0) -> AsyncGenerator[Page]:
    """Open a page; requests to other machines are blocked."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=ratio)
    await context.route(
        lambda url: not url.startswith(("http://127.0.0.1:", "data:", "blob:")), lambda route: route.abort()
    )
    context.set_default_timeout(_TIMEOUT * 1e3)
    await context.add_init_script(_PATIENT)
    try:
        yield await context.new_page()
    finally:
        await context.close()


class Run:
    """A run of all cells of a notebook, in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def finished(self) -> bool:
        """Return whether all cells have run."""
        return bool(await self.page.evaluate("window.rtlabDone === true"))

    async def wait(self, timeout: float = _TIMEOUT) -> None:
        """Wait until all cells have run."""
        await self.page.wait_for_function("window.rtlabDone === true", timeout=timeout * 1e3)

    async def errors(self) -> list[str]:
        """Return every error, and everything printed to stderr."""
        found: list[str] = []
        for output in await self.outputs():
            if output["output_type"] == "error":
                found.append(f"{output['ename']}: {output['evalue']}")
            elif output.get("name") == "stderr":
                found.append("".join(output["text"]))
        return found

    async def outputs(self) -> list[dict[str, Any]]:
        """Return the outputs of all code cells, in nbformat."""
        notebook = await self.page.evaluate("rtlabPanel.content.model.sharedModel.toJSON()")
        return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]

    async def text(self) -> str:
        """Return everything that the cells printed."""
        return "".join("".join(o["text"]) for o in await self.outputs() if o.get("name") == "stdout")


async def load(page: Page, lab: JupyterLab, *, timeout: float = _TIMEOUT) -> None:
    """Load JupyterLab into a page, unless the page shows it already."""
    if page.url.startswith(f"http://127.0.0.1:{lab.port}/lab"):
        return
    await page.goto(lab.url("").replace("/lab/tree/", "/lab"), timeout=timeout * 1e3)
    await page.wait_for_function("globalThis.jupyterapp?.restored", timeout=timeout * 1e3)
    await page.evaluate("jupyterapp.restored")


async def open_notebook(page: Page, lab: JupyterLab, path: str, *, timeout: float = _TIMEOUT) -> None:
    """Open a notebook in place of whatever is open, and wait for its kernel.

    JupyterLab itself is loaded only once per page, as that takes longer than most notebooks.
    """
    await load(page, lab, timeout=timeout)
    async with asyncio.timeout(timeout):
        await page.evaluate(_OPEN, path)


async def run_all(page: Page, lab: JupyterLab, notebook: str, *, timeout: float = _TIMEOUT) -> Run:
    """Open a notebook, wait for its kernel, and start Run All; `Run.wait` waits for the end."""
    await open_notebook(page, lab, notebook, timeout=timeout)
    await page.evaluate(
        """() => {
            window.rtlabDone = false;
            jupyterapp.commands.execute("notebook:run-all-cells").finally(() => (window.rtlabDone = true));
        }"""
    )
    return Run(page)


async def canvas_states(page: Page, selector: str, wanted: int, timeout: float = _TIMEOUT) -> set[str]:
    """Return digests of the different pictures that a canvas shows, until `wanted` are seen."""
    seen: set[str] = set()
    deadline = time.monotonic() + timeout
    await page.locator(selector).first.wait_for(timeout=timeout * 1e3)
    while len(seen) < wanted and time.monotonic() < deadline:
        seen.add(
            await page.evaluate(
                """async (selector) => {
                    const canvas = document.querySelector(selector);
                    await new Promise((done) => requestAnimationFrame(done));
                    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                    const digest = await crypto.subtle.digest("SHA-256", pixels.data);
                    return String(new BigUint64Array(digest)[0]);
                }""",
                selector,
            )
        )
        await asyncio.sleep(0.05)
    return seen


async def set_theme(page: Page, theme: str) -> None:
    """Switch JupyterLab's theme, ``"JupyterLab Light"`` or ``"JupyterLab Dark"``."""
    await page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    await page.wait_for_function("(theme) => document.body.dataset.jpThemeName === theme", arg=theme)
