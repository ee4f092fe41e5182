"""Measurements become figures: a median and how far the rounds are apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One quantity over several rounds.

    Attributes:
        median: Of the rounds.
        least: The lowest round.
        most: The highest.
        rounds: How many.
    """

    median: float
    least: float
    most: float
    rounds: int

    def __str__(self) -> str:
        """`median (least-most)`, three digits that count."""
        return f"{short(self.median)} ({short(self.least)}-{short(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """The figure for at least one round."""
    return Spread(median=median(values), least=min(values), most=max(values), rounds=len(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Round by round, so that what disturbed one round disturbed both sides; the median is of the ratios."""
    return spread([one / other for one, other in zip(over, under, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0-1) of the values do not exceed: the nearest rank, none invented."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """The upper bound of the bucket that holds the quantile; infinite beyond the last, NaN for an empty histogram.

    Args:
        buckets: Cumulative counts by upper bound, as Prometheus has them, `inf` included.
        share: 0-1.
    """
    total = max(buckets.values(), default=0)
    if not total:
        return float("nan")
    return next(bound for bound in sorted(buckets) if buckets[bound] >= share * total)


def short(value: float) -> str:
    """Three digits that count, thousands apart, never an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"
