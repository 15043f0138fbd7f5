"""Medians of the rounds, ratios within a run, and the targets."""

from __future__ import annotations

import dataclasses
import statistics

ONE_VIEW, SMOG_VIEWS = "1x224", "2x224+4x96"


@dataclasses.dataclass(frozen=True)
class Window:
    """One measured stretch of a loader."""

    images_per_second: float
    # Processor time; None where it was not counted.
    cpu_ms_per_image: float | None = None
    memory_bytes: int | None = None


@dataclasses.dataclass
class Result:
    """A loader at a number of workers: one window for each round."""

    loader: str
    views: str
    workers: int
    windows: list[Window] = dataclasses.field(default_factory=list)
    # Why there are no figures.
    failure: str | None = None

    def rate(self) -> float | None:
        """Images per second, median of the rounds."""
        return median([window.images_per_second for window in self.windows])

    def spread(self) -> tuple[float, float] | None:
        """Slowest and fastest round."""
        rates = [window.images_per_second for window in self.windows]
        return (min(rates), max(rates)) if rates else None

    def cpu_ms(self) -> float | None:
        return median([window.cpu_ms_per_image for window in self.windows if window.cpu_ms_per_image is not None])

    def memory(self) -> int | None:
        return max((window.memory_bytes for window in self.windows if window.memory_bytes is not None), default=None)


@dataclasses.dataclass
class Written:
    """One way to write a data set: one entry for each round."""

    writer: str
    data: str
    bytes: int
    files: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    cpu_seconds: list[float] = dataclasses.field(default_factory=list)
    failure: str | None = None

    def megabytes_per_second(self) -> float | None:
        time = median(self.seconds)
        return None if time is None else self.bytes / time / 1e6

    def files_per_second(self) -> float | None:
        time = median(self.seconds)
        return None if time is None else self.files / time


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio that is to be reached, and what it was."""

    what: str
    least: float
    # None where one side was not measured.
    reached: float | None
    # The same of processor time, which a busy machine hardly changes; None where that says nothing.
    by_cpu: float | None = None

    def verdict(self) -> str:
        if self.reached is None:
            return "not measured"
        if self.reached >= self.least:
            return "reached"
        missed = 100 * (1 - self.reached / self.least)
        return f"missed by {missed:.0f} %" if missed >= 1 else "missed by less than 1 %"


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


class Run:
    """Everything that one call measured; ratios are only ever made within it."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.written: list[Written] = []

    def find(self, loader: str, views: str, workers: int = 1) -> Result | None:
        """The loader's figures, if there are any."""
        wanted = (loader, views, workers)
        found = (it for it in self.results if (it.loader, it.views, it.workers) == wanted and it.windows)
        return next(found, None)

    def rate(self, loader: str, views: str, workers: int = 1) -> float | None:
        result = self.find(loader, views, workers)
        return result.rate() if result else None

    def against(self, what: str, least: float, views: str, prefix: str) -> Target:
        """smog at one worker against a library at one worker, in the fastest of the ways it is used."""
        smog = self.find("smog", views)
        ways = [self.find(it.loader, views) for it in self.results if it.loader.startswith(prefix)]
        peer = max((way for way in ways if way), key=lambda way: way.rate() or 0, default=None)
        if smog is None or peer is None:
            return Target(what, least, None)
        return Target(what, least, ratio(smog.rate(), peer.rate()), ratio(peer.cpu_ms(), smog.cpu_ms()))

    def writing_rate(self, prefix: str, data: str) -> float | None:
        rates = [
            written.megabytes_per_second()
            for written in self.written
            if written.writer.startswith(prefix) and written.data == data
        ]
        return max((rate for rate in rates if rate is not None), default=None)

    def failures(self) -> list[str]:
        """What could not be measured, with its reason."""
        loaders = [
            f"{result.loader}, {result.views}, {result.workers} workers: {result.failure}"
            for result in self.results
            if result.failure
        ]
        return loaders + [f"{it.writer}, {it.data}: {it.failure}" for it in self.written if it.failure]

    def loader_targets(self) -> list[Target]:
        targets = []
        if self.has_loaders(SMOG_VIEWS):
            targets += [
                self.against("SMoG views: smog / DALI", 6, SMOG_VIEWS, "dali"),
                self.against("SMoG views: smog / torchvision", 12, SMOG_VIEWS, "torchvision"),
                self.against("SMoG views: smog / plain decode", 0.5, SMOG_VIEWS, "plain-decode"),
            ]
        if self.has_loaders(ONE_VIEW):
            targets += [
                self.against("one view: smog / FFCV", 1.6, ONE_VIEW, "ffcv"),
                self.against("one view: smog / plain decode", 1, ONE_VIEW, "plain-decode"),
            ]
        for views in (ONE_VIEW, SMOG_VIEWS):
            if self.has_loaders(views):
                two = ratio(self.rate("smog", views, 2), self.rate("smog", views))
                targets.append(Target(f"{views}: smog, two workers / one", 1.9, two))
        return targets

    def writing_targets(self, data: str, threads: int) -> list[Target]:
        header = self.writing_rate("smog header", data)
        decode = [it for it in self.written if it.writer == "smog decode" and it.data == data]
        plain = self.rate("plain-decode", SMOG_VIEWS) or self.rate("plain-decode", ONE_VIEW)
        return [
            Target(f"{data}: shard --check header / cp -r", 0.7, ratio(header, self.writing_rate("cp", data))),
            Target(f"{data}: shard --check header / MDSWriter", 1, ratio(header, self.writing_rate("MDSWriter", data))),
            Target(f"{data}: shard --check header / TarWriter", 1, ratio(header, self.writing_rate("TarWriter", data))),
            Target(
                f"{data}: shard, every image decoded / (plain decode x {threads} threads)",
                0.9,
                ratio(decode[0].files_per_second(), plain * threads) if decode and plain else None,
            ),
        ]

    def has_loaders(self, views: str) -> bool:
        return any(result.views == views for result in self.results)
