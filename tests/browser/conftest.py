from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests.browser.lab import JupyterLab, chromium, open_browser

KERNELS = "@jupyterlab/apputils-extension:kernels-settings"


@pytest.fixture(scope="session", params=["perCommTarget", "disabled"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab; once with comm messages over subshells, once without."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    home = tmp_path_factory.mktemp(f"lab-{request.param}")
    with JupyterLab(home, {KERNELS: {"commsOverSubshells": request.param}}) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    async with open_browser() as running:
        yield running
