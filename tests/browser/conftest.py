from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.lab import JupyterLab, PageOf, chromium, home_of, open_browser, open_page

VIEWPORT = ViewportSize(width=1280, height=900)
KERNELS = "@jupyterlab/apputils-extension:kernels-settings"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab as it comes: comm messages go over subshells."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    with JupyterLab(home_of(tmp_path_factory.mktemp("lab"))) as running:
        yield running


@pytest.fixture(scope="session")
def lab_without_subshells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab whose comm messages wait for the running cell, unless the kernel reads them earlier."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    settings = {KERNELS: {"commsOverSubshells": "disabled"}}
    with JupyterLab(home_of(tmp_path_factory.mktemp("lab")), settings) as running:
        yield running


@pytest.fixture(params=["lab", "lab_without_subshells"])
def either_lab(request: pytest.FixtureRequest) -> JupyterLab:
    """Both kinds of JupyterLab, for what a page sends while a cell runs."""
    return request.getfixturevalue(request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def page_of() -> AsyncIterator[PageOf]:
    """One page for each JupyterLab: to load JupyterLab takes longer than most tests."""
    pages: dict[int, Page] = {}
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(open_browser())

        async def page_of(lab: JupyterLab) -> Page:
            if lab.port not in pages:
                pages[lab.port] = await stack.enter_async_context(open_page(browser, ratio=2))
            await pages[lab.port].set_viewport_size(VIEWPORT)  # another test may have made it small
            return pages[lab.port]

        yield page_of


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    async with open_browser() as running:
        yield running
