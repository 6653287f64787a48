from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests.browser.lab import JupyterLab, chromium, open_browser

KERNELS = "@jupyterlab/apputils-extension:kernels-settings"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab as it comes: comm messages go over subshells."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    with JupyterLab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def lab_without_subshells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab whose comm messages wait for the running cell, unless the kernel reads them earlier."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    settings = {KERNELS: {"commsOverSubshells": "disabled"}}
    with JupyterLab(tmp_path_factory.mktemp("lab"), settings) as running:
        yield running


@pytest.fixture(params=["lab", "lab_without_subshells"])
def either_lab(request: pytest.FixtureRequest) -> JupyterLab:
    """Both kinds of JupyterLab, for what a page sends while a cell runs."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    async with open_browser() as running:
        yield running
