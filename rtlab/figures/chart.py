"""One look for static figures: made of matplotlib's objects and no global state."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FAINT", "INK", "ON_PILL", "PILL", "Chart", "dress", "say_empty"]

#: Figures are transparent, so one ink must do on a light page and on a dark one: over 4 : 1 on
#: white and on JupyterLab's dark #111 (WCAG 2.2, §1.4.11 asks for 3 : 1).
INK: Final = "#757575"
FAINT: Final = "#7A7A7A"
#: Behind a label that lies over lines: dark on a white page, light on a dark one, its text readable on both.
PILL: Final[dict[str, Any]] = {"boxstyle": "round,pad=0.2", "facecolor": "#5F6368", "edgecolor": "none"}
ON_PILL: Final = "#FFFFFF"
_GRID: Final = "#8080804D"
_PIXELS_PER_INCH: Final = 96
_COLORS: Final = 128


class Chart(Figure):
    """A matplotlib `Figure` that shows itself in a notebook, sharply, without pyplot.

    Parameters
    ----------
    width, height : float
        Inches.
    about : str
        One line that says what it shows; the text that stands where no picture can.

    Examples
    --------
    >>> chart = Chart(about="an empty plot")
    >>> chart.add_subplot().set_ylabel("latency (ms)")
    Text(0, 0.5, 'latency (ms)')
    >>> chart
    <Chart: an empty plot>
    """

    def __init__(self, width: float = 9.0, height: float = 4.2, *, about: str = "figure") -> None:
        super().__init__(figsize=(width, height), layout="constrained", facecolor="none")
        self.about = about

    def png(self, ratio: float = 2.0) -> bytes:
        """Return the picture, `ratio` pixels for each CSS pixel.

        Notebooks are committed with their figures: a palette of 128 colours takes a
        quarter of the bytes, and nobody sees the difference.
        """
        drawn, out = BytesIO(), BytesIO()
        self.savefig(drawn, format="png", dpi=_PIXELS_PER_INCH * ratio)
        small = (
            Image.open(drawn)
            .convert("RGBA")
            .quantize(_COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        )
        small.save(out, format="png", optimize=True)
        return out.getvalue()

    def _repr_mimebundle_(self, **_kwargs: object) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = (round(float(inches) * _PIXELS_PER_INCH) for inches in self.get_size_inches())
        data = {"text/plain": repr(self), "image/png": self.png()}
        return data, {"image/png": {"width": width, "height": height, "alt": self.about}}

    def __repr__(self) -> str:
        return f"<Chart: {self.about}>"


def _plain(value: float, _position: int | None) -> str:
    return f"{value:g}"


def _plain_2_and_5(value: float, _position: int | None) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def dress(axes: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "", log_y: bool = False) -> Axes:
    """Give axes the project's look: quiet grid, two spines, plain numbers.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        What to dress.
    title, xlabel, ylabel : str
        Texts; `rtlab.figures.labels.LABELS` has the usual ones.
    log_y : bool
        Logarithmic vertical axis, with 0.1 and not 10⁻¹.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    if log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(FuncFormatter(_plain_2_and_5))
        axes.tick_params(which="minor", colors=FAINT, labelsize=8)
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlabel(xlabel, fontsize=10, color=INK)
    axes.set_ylabel(ylabel, fontsize=10, color=INK)
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9E9E9E")
    return axes


def say_empty(axes: Axes) -> None:
    """Say in axes that would stay blank what to run again.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where there is nothing to draw.
    """
    text = "no samples: the run ended too early.\nRun its cell again, to the end."
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=FAINT)
