"""The live plot in a real JupyterLab: it moves, and its controls are obeyed while a cell awaits."""

from __future__ import annotations

import ast
import asyncio
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.lab import (
    JupyterLab,
    PageOf,
    Run,
    canvas_states,
    is_jupyterlabs_own,
    run_all,
    screenshot,
    set_theme,
)

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = """\
import asyncio, random, time
from rtlab.measure.recorder import Recorder
from rtlab.widgets import LatencyPlot, Predict

recorder = Recorder()
guess = Predict("How long does a message take?", unit="ms")
plot = LatencyPlot(recorder, title="Synthetic feed", mode="latency")

async def source(rate):
    rng, due = random.Random(1), time.monotonic()
    while True:
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent = due + rng.expovariate(5e3)
        recorder.record("websocket", due, sent, 64, sent + 2e-4 + rng.expovariate(1e4))
        recorder.record("sse", due, due + 1e-4, 64, due + 1.5e-3 + rng.expovariate(2e3))
"""
RUN = """\
display(guess, plot)
recorder.mark("connected")
async with plot:
    task = asyncio.create_task(source(200))
    early = await plot.wait(100)
    task.cancel()
guess.reveal(recorder.percentiles("websocket")[50])
"""
REPORT = """\
print([early, plot.mode, plot.log_y, plot.state, guess.value, plot._sent - plot._acked])
"""


def button(page: Page, name: str) -> Any:
    return page.locator(".rtlab-plot").get_by_role("button", name=name, exact=True)


async def report(run: Run) -> list[Any]:
    assert await run.errors() == []
    return ast.literal_eval(await run.text())


async def stands_still(page: Page) -> None:
    """Wait until the picture is the same for a second: the page says "paused" before the kernel has."""
    async with asyncio.timeout(90):
        while len(await canvas_states(page, ".rtlab-canvas", 2, timeout=1.0)) > 1:
            pass


async def test_it_moves_and_obeys_while_a_cell_awaits(either_lab: JupyterLab, page_of: PageOf) -> None:
    name = either_lab.write("live.ipynb", SOURCE, RUN, REPORT)
    page = await page_of(either_lab)
    complaints: list[str] = []
    page.on("pageerror", lambda error: is_jupyterlabs_own(error) or complaints.append(str(error)))
    run = await run_all(page, either_lab, name)

    # It moves.
    assert len(await canvas_states(page, ".rtlab-canvas", 20)) >= 20
    assert await page.evaluate("document.querySelector('.rtlab-canvas').width") == 2 * await page.evaluate(
        "document.querySelector('.rtlab-canvas').clientWidth"
    )
    await screenshot(page, "plot-light", ".rtlab-plot")

    # A number, an error and a correction, all while the cell awaits.
    field, answer = page.locator(".rtlab-predict input"), page.locator(".rtlab-predict output")
    for text, said in (("soon", "not a number"), ("5", "Noted: 5 ms")):
        await field.click(click_count=3)
        await field.press_sequentially(text)
        await field.press("Enter")
        await answer.filter(has_text=said).wait_for()

    # Pause freezes the picture; Resume does not lose what was recorded meanwhile.
    await button(page, "Pause").click()
    await page.locator(".rtlab-status", has_text="paused").wait_for()
    await stands_still(page)
    await button(page, "Resume").click()
    assert len(await canvas_states(page, ".rtlab-canvas", 5)) >= 5

    await button(page, "Log y").click()
    await button(page, "Transit").click()
    await set_theme(page, "JupyterLab Dark")
    assert await button(page, "Log y").get_attribute("aria-pressed") == "true"
    assert await button(page, "Total").get_attribute("aria-pressed") == "false"
    await screenshot(page, "plot-dark", ".rtlab-plot")

    assert not await run.finished()
    await page.evaluate("rtlabPanel.content.activeCell.node.focus()")
    await button(page, "Stop").click()
    # The button is disabled now: had it the focus, nobody would hear the reader's next Shift+Enter.
    assert await page.evaluate("document.activeElement.matches('.jp-Cell')")
    await run.wait()
    *settings, unacknowledged = await report(run)
    assert settings == [True, "transit", True, "stopped", 5.0]
    assert unacknowledged <= 17  # sixteen, and the last one
    await answer.filter(has_text="You predicted 5 ms").wait_for()
    assert complaints == []
    await set_theme(page, "JupyterLab Light")


async def test_the_keyboard_reaches_everything(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("keys.ipynb", SOURCE, RUN, REPORT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await canvas_states(page, ".rtlab-canvas", 5)
    await button(page, "Total").focus()
    reached: list[str] = []
    for _ in range(8):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.textContent || 'canvas'"))
    assert reached == ["Transit", "Lateness", "Log y", "p95", "By send time", "Pause", "Stop", "canvas"]

    # In command mode JupyterLab would make a Markdown cell of M, and number the lines at L.
    await page.keyboard.press("m")
    await page.keyboard.press("l")
    await page.keyboard.press("Space")
    await page.locator(".rtlab-status", has_text="paused").wait_for()
    await page.keyboard.press("ArrowLeft")
    readout = page.locator(".rtlab-readout")
    await readout.filter(has_text="transit").wait_for()
    assert " at " in (await readout.text_content() or "")
    await page.keyboard.press("Escape")
    await readout.wait_for(state="hidden")
    await page.keyboard.press("Space")

    summary = page.locator(".rtlab-plot [aria-live=polite]")
    await summary.filter(has_text="websocket: transit p50").wait_for(state="attached")
    assert "milliseconds" in (await page.locator(".rtlab-canvas").get_attribute("aria-label") or "")

    await button(page, "Stop").focus()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.className") == "rtlab-canvas"
    await run.wait()
    assert (await report(run))[:4] == [True, "transit", True, "stopped"]


#: The canvas as it is, and after every point was drawn anew, which a change of the axis' order and back does.
REDRAWN = """async () => {
    const canvas = document.querySelector(".rtlab-canvas");
    const pixels = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)));
    await settled(); // a batch may be on its way when Pause is pressed
    await settled();
    const moved = pixels();
    const order = [...document.querySelectorAll(".rtlab-button")]
        .find((button) => button.textContent === "By send time");
    order.click();
    await settled();
    const other = pixels();
    order.click();
    await settled();
    const redrawn = pixels();
    const differing = (one) => redrawn.filter((value, at) => value !== one[at]).length;
    return [differing(moved), differing(other)];
}"""


async def test_points_that_were_moved_stand_where_they_would_be_drawn_anew(
    lab: JupyterLab, page_of: PageOf
) -> None:
    # The axis' end is steady, because latency has a few fixed values only.
    steady = SOURCE.replace("rng.expovariate(5e3)", "0.0").replace(
        "rng.expovariate(1e4)", "1e-4 * rng.randrange(9)"
    )
    steady = steady.replace("rng.expovariate(2e3)", "1e-4 * rng.randrange(9)").replace(
        "title=", "window=2, title="
    )
    name = lab.write("moved.ipynb", steady, RUN, REPORT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await page.wait_for_timeout(2500)  # the first points have left the picture
    assert len(await canvas_states(page, ".rtlab-canvas", 10)) >= 10
    await button(page, "Pause").click()
    await page.locator(".rtlab-status", has_text="paused").wait_for()
    await stands_still(page)
    moved, other = await page.evaluate(REDRAWN)
    assert moved == 0
    assert other > 500
    await button(page, "Stop").click()
    await run.wait()
    await report(run)


HOVER_AT = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)


async def test_the_pointer_reads_a_sample_out(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("hover.ipynb", SOURCE, RUN, REPORT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await canvas_states(page, ".rtlab-canvas", 10)
    await button(page, "Pause").click()
    await page.locator(".rtlab-status", has_text="paused").wait_for()
    box = await page.locator(".rtlab-canvas").bounding_box()
    assert box is not None
    readout = page.locator(".rtlab-readout")
    for share in HOVER_AT:  # the samples are at the left, at some height
        await page.mouse.move(box["x"] + 70, box["y"] + share * box["height"])
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if await readout.is_visible():
            break
    said = (await readout.text_content() or "").splitlines()
    assert said[0].split(" at ")[0] in ("websocket", "sse")
    assert said[1].startswith("total ")
    assert said[2].startswith("lateness ")
    assert " + transit " in said[2]
    await page.mouse.move(1, 1)
    await readout.wait_for(state="hidden")
    await button(page, "Stop").click()
    await run.wait()
    await report(run)


#: Counts the pixels of the stripes' colour, which nothing else has with that opacity.
SHADED = """() => {
    const canvas = document.querySelector(".rtlab-canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.slice(i, i + 4);
        found += a > 45 && a < 65 && Math.abs(r - 213) < 9 && Math.abs(g - 94) < 9 && b < 9;
    }
    return found;
}"""


async def test_a_late_loop_is_shaded_and_said(lab: JupyterLab, page_of: PageOf) -> None:
    # The window is as long as a slow browser needs, so a second of lateness is 4,000 pixels of it at least.
    stall = RUN.replace("    early =", "    await plot.wait(0.5)\n    time.sleep(1)\n    early =")
    source = SOURCE.replace("title=", "window=60, title=")
    name = lab.write("late.ipynb", source, stall, REPORT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    summary = page.locator(".rtlab-plot [aria-live=polite]")
    await summary.filter(has_text="The kernel's loop was late").wait_for(state="attached")
    assert await page.evaluate(SHADED) > 500
    await button(page, "Stop").click()
    await run.wait()
    await report(run)


async def test_two_views_show_the_same_run_and_share_one_credit(lab: JupyterLab, page_of: PageOf) -> None:
    two = RUN.replace("display(guess, plot)", "display(plot)\ndisplay(plot)")
    name = lab.write("views.ipynb", SOURCE, two, REPORT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await page.locator(".rtlab-canvas").nth(1).wait_for()
    for n in (0, 1):
        await page.locator(".rtlab-plot").nth(n).evaluate("(el, n) => (el.id = `view${n}`)", n)
        assert len(await canvas_states(page, f"#view{n} .rtlab-canvas", 5)) >= 5
    await page.locator("#view1").get_by_role("button", name="Stop").click()
    await run.wait()
    assert (await report(run))[-1] <= 17  # sixteen, and the last one
    await screenshot(page, "plot-two-views")


async def test_a_hidden_plot_stops_the_sending_and_catches_up(
    either_lab: JupyterLab, page_of: PageOf
) -> None:
    name = either_lab.write("hidden.ipynb", SOURCE, RUN, REPORT)
    page = await page_of(either_lab)
    run = await run_all(page, either_lab, name)
    await canvas_states(page, ".rtlab-canvas", 5)
    total = "document.querySelector('.rtlab-status').textContent"
    await page.evaluate("document.querySelector('.rtlab-plot').style.display = 'none'")
    before = await page.evaluate(total)
    await page.wait_for_timeout(1500)
    assert await page.evaluate(total) == before  # nothing was drawn, so nothing was acknowledged
    await page.evaluate("document.querySelector('.rtlab-plot').style.display = ''")
    assert len(await canvas_states(page, ".rtlab-canvas", 5)) >= 5
    await button(page, "Stop").click()
    await run.wait()
    await report(run)


async def test_a_plot_whose_kernel_is_gone_says_so(lab: JupyterLab, page_of: PageOf) -> None:
    killed = RUN.replace(
        "early = await plot.wait(100)",
        "while not plot.log_y:\n        await asyncio.sleep(0.05)\n    os.kill(os.getpid(), signal.SIGKILL)",
    )
    name = lab.write("gone.ipynb", "import os, signal\n" + SOURCE, killed)
    page = await page_of(lab)
    await run_all(page, lab, name)
    await canvas_states(page, ".rtlab-canvas", 5)
    gone = page.locator(".rtlab-plot .rtlab-gone")
    assert not await gone.is_visible()
    await button(page, "Log y").click()
    await gone.filter(has_text="kernel").wait_for()
    assert await button(page, "Stop").is_disabled()
    await screenshot(page, "plot-gone")


async def test_by_send_time_a_stall_falls(lab: JupyterLab, page_of: PageOf) -> None:
    stalled = """\
display(plot)
async with plot:
    base = time.monotonic()
    for n in range(200):
        recorder.record("websocket", base + n / 100, base + n / 100, 64, base + max(2.0, n / 100))
    await plot.wait(100)
"""
    source = SOURCE.replace("title=", "window=60, title=")
    name = lab.write("stall.ipynb", source, stalled)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await page.locator(".rtlab-status", has_text="200 samples").wait_for()
    await button(page, "By send time").click()
    assert await button(page, "By send time").get_attribute("aria-pressed") == "true"
    keys = await page.locator(".rtlab-keys").inner_text()
    assert keys.startswith("sample")  # no key of a line that is not drawn
    await page.locator(".rtlab-canvas").focus()
    readout = page.locator(".rtlab-readout")
    read: list[str] = []
    await page.keyboard.press("ArrowRight")
    for _ in range(3):
        await readout.wait_for()
        read.append((await readout.text_content() or "").splitlines()[1])
        for _ in range(40):
            await page.keyboard.press("ArrowRight")
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    delays = [float(line.split()[1]) for line in read]
    assert delays == sorted(delays, reverse=True)
    assert delays[0] - delays[-1] > 500
    await screenshot(page, "plot-stall", ".rtlab-plot")
    await button(page, "Stop").click()
    await run.wait()


SIGHT = """\
from IPython.display import HTML

display(plot, HTML("<div style='height: 3000px'></div>"))
while not plot.log_y:
    await asyncio.sleep(0.02)
async with plot:
    await plot.wait(100)
"""
#: How far the plot stands above the notebook's window, or below it, in pixels.
OUTSIDE = """() => {
  const [plot, all] = [".rtlab-plot", ".jp-WindowedPanel-outer"].map(
    (name) => document.querySelector(name).getBoundingClientRect());
  return Math.max(0, all.top - plot.top, plot.bottom - all.bottom);
}"""


async def test_it_comes_into_sight_when_it_begins_to_run(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("sight.ipynb", SOURCE, SIGHT)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await button(page, "Log y").wait_for()
    await page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 2000")
    await page.wait_for_function(f"({OUTSIDE})() > 500")
    await button(page, "Log y").evaluate(
        "button => button.click()"
    )  # as the mouse does, but without scrolling
    await page.wait_for_function(f"({OUTSIDE})() < 1", timeout=10_000)  # of a pixel: zoomed pages round
    await button(page, "Stop").click()
    await run.wait()
    assert await run.errors() == []


#: Longer than anything is looked at again after a change.
LATER = "new Promise((done) => setTimeout(done, 800))"
GROWS = """\
from IPython.display import HTML

above = HTML("<div class='above' style='height: 150px'>")
grows = HTML("<div class='grows' style='height: 9px'>")
display(above, plot, grows)
async with plot:
    await plot.wait(100_000)
"""
#: What JupyterLab does after Shift+Enter, when an output grows: the next cell stays where it is.
GROW = """height => {
  const [below, all] = [".grows", ".jp-WindowedPanel-outer"].map((name) => document.querySelector(name));
  all.scrollTop += height - below.offsetHeight;
  below.style.height = `${height}px`;
}"""


async def test_what_is_in_sight_stays_so_when_the_output_grows(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("grows.ipynb", SOURCE, GROWS, *["# a line\n" * 60] * 2)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    both = f"() => ({OUTSIDE})() < 1 && ({OUTSIDE.replace('.rtlab-plot', '.above')})() < 1"
    await page.locator(".rtlab-plot .rtlab-status", has_text="running").wait_for()
    await page.wait_for_function(both)
    await page.evaluate(LATER)
    await page.evaluate(GROW, 100)
    await page.evaluate(LATER)
    assert await page.evaluate(both)
    # A reader who has scrolled away is left there.
    await page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop += 600")
    await page.evaluate(LATER)
    await page.evaluate(GROW, 150)
    await page.evaluate(LATER)
    assert await page.evaluate(f"({OUTSIDE})()") > 100
    await button(page, "Stop").click()
    await run.wait()
    assert await run.errors() == []
