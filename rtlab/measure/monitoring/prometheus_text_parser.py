"""The metrics of one scrape of a server, parsed into samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from rtlab.errors import LabError

__all__ = ["MetricsPage"]

#: Suffixes that Prometheus appends to a metric family's name for its samples.
_ENDINGS: Final = {"counter": ("", "_total"), "histogram": ("", "_bucket", "_count", "_sum")}


class MetricsPage:
    """The samples of one page.

    Parameters
    ----------
    samples : mapping
        Name → {labels: value}; labels are a frozen set of (name, value).

    Examples
    --------
    >>> page = MetricsPage.parse('# TYPE ended counter\\nended_total{code="1006"} 3\\n')
    >>> page.value("ended_total", code="1006"), page.value("ended_total", code="1000")
    (3.0, 0.0)
    """

    def __init__(self, samples: Mapping[str, Mapping[frozenset[tuple[str, str]], float]]) -> None:
        self._samples = samples

    @classmethod
    def parse(cls, text: str) -> MetricsPage:
        """Parse Prometheus' text format.

        Parameters
        ----------
        text : str
            The page.

        Raises
        ------
        LabError
            If the text is not in this format.
        """
        from prometheus_client.parser import text_string_to_metric_families

        samples: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        try:
            for family in text_string_to_metric_families(text):
                # Also for a family without samples: a counter that was never incremented is 0.
                for ending in _ENDINGS.get(family.type, ("",)):
                    samples.setdefault(family.name + ending, {})
                for sample in family.samples:
                    samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        except Exception as error:  # the parser raises ValueError, KeyError, IndexError, …
            raise LabError(f"expected a page of metrics, got {text!r:.60} ({error})") from error
        return cls(samples)

    @property
    def names(self) -> frozenset[str]:
        """Names of all metrics on the page."""
        return frozenset(self._samples)

    def series(self, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return labels → value of the samples that have these labels.

        Raises
        ------
        LabError
            If no metric on the page has this name.
        """
        found = self._samples.get(name)
        if found is None:
            near = ", ".join(sorted(self._samples, key=lambda known: _distance(known, name))[:3])
            raise LabError(f"expected a metric of this page, got {name!r}; did you mean one of {near}?")
        wanted = set(labels.items())
        return {key: value for key, value in found.items() if wanted <= key}

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels; 0 where there are none."""
        return math.fsum(self.series(name, **labels).values())


def _distance(known: str, name: str) -> float:
    import difflib

    return -difflib.SequenceMatcher(None, known, name).ratio()
