"""The common style of static figures, made with matplotlib's objects and without its global state."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter, ScalarFormatter
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FAINT", "INK", "ON_PILL", "PILL", "Chart", "dress", "legend_label", "say_empty"]

#: Figures are transparent, so one colour must be readable on light and dark pages: its contrast is over
#: 4 : 1 on white and on JupyterLab's dark #111 (WCAG 2.2, §1.4.11 requires 3 : 1).
INK: Final = "#757575"
FAINT: Final = "#7A7A7A"
#: Box behind a label that lies over lines; it stands out from a light and a dark page, with readable text.
PILL: Final[dict[str, Any]] = {"boxstyle": "round,pad=0.2", "facecolor": "#5F6368", "edgecolor": "none"}
ON_PILL: Final = "#FFFFFF"
_GRID: Final = "#8080804D"
_PIXELS_PER_INCH: Final = 96
_COLORS: Final = 128


class Chart(Figure):
    """A matplotlib `Figure` that a notebook shows at high resolution, without pyplot.

    Parameters
    ----------
    width, height : float
        Size in inches.
    about : str
        One line that says what the figure shows; also its alternative text.

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

    def draw(self, renderer: Any) -> None:
        """Draw the figure; a ``$`` in a text is a character, and does not begin a formula.

        Names, payloads and guesses are drawn as they were written. Only matplotlib's own number formats,
        such as 10⁻¹, remain formulas.
        """
        texts: set[Any] = set(self.findobj(Text))
        for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
            named: list[Any] = axis.get_ticklabels()  # names in place of numbers have no ticks before this
            texts.difference_update(axis.findobj(Text))
            texts.add(axis.label)
            if not isinstance(axis.get_major_formatter(), (ScalarFormatter, LogFormatter)):
                texts.update(named)
        for text in texts:
            text.set_parse_math(False)
        super().draw(renderer)

    def png(self, ratio: float = 2.0) -> bytes:
        """Return the figure as PNG, with `ratio` pixels for each CSS pixel.

        Notebooks are committed with their figures, so the image has a palette of 128
        colours: it takes a quarter of the bytes, without a visible difference.
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
    """Give axes the project's style: faint grid, two spines, plain numbers.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The axes to style.
    title, xlabel, ylabel : str
        Texts; `rtlab.figures.chart_style.labels.LABELS` has the usual ones.
    log_y : bool
        Whether the vertical axis is logarithmic; its numbers are written as 0.1, not as 10⁻¹.

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


def legend_label(name: str) -> str:
    """Return a name as a label that matplotlib's legends show: they leave out one that begins with ``_``.

    Examples
    --------
    >>> legend_label("echo"), legend_label("_echo")
    ('echo', ' _echo')
    """
    return f" {name}" if name.startswith("_") else name


def say_empty(
    axes: Axes, text: str = "no samples: the run ended too early.\nRun its cell again, to the end."
) -> None:
    """Write into empty axes why they are empty, and what to do.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes without data.
    text : str
        The reason; by default, that there are no samples, and what to run again.
    """
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=FAINT)
