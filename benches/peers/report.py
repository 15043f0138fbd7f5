"""The run as Markdown: the same tables on the terminal and in docs/benchmarks/."""

from __future__ import annotations

import dataclasses

from figures import ONE_VIEW, SMOG_VIEWS, Result, Run, Target, Written, ratio

TITLES = {
    ONE_VIEW: "One view of 224 pixels: random resized crop (8 to 100 % of the image) and flip",
    SMOG_VIEWS: "SMoG views: 2 x 224 + 4 x 96, all augmentations, from one decode where the loader can",
}
CANNOT = {("ffcv", SMOG_VIEWS): "cannot: one decode a view"}


@dataclasses.dataclass
class Facts:
    """What stands beside the figures."""

    date: str
    machine: list[str]
    commit: str
    command: str
    data: str
    method: list[str]
    # Loader or library -> text.
    settings: dict[str, str]
    versions: dict[str, str]


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} x"


def megabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.0f} MB"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table whose columns line up on a terminal, too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(head), line(rule), *(line(row) for row in rows)]


def loader_rows(run: Run, views: str, workers: list[int]) -> list[list[str]]:
    """One row for each loader: rates by number of workers, the rest at the first number."""
    results = {(result.loader, result.workers): result for result in run.results if result.views == views}
    smog, plain = run.rate("smog", views, workers[0]), run.rate("plain-decode", views, workers[0])
    ours = run.find("smog", views, workers[0])
    smog_cpu = ours.cpu_ms() if ours else None
    rows = []
    for loader in dict.fromkeys(loader for loader, _ in results):
        first = results.get((loader, workers[0])) or Result(loader, views, workers[0])
        cells = [loader]
        for count in workers:
            result = results.get((loader, count))
            failed = result is not None and result.failure is not None
            cells.append("FAILED" if failed else number(result.rate() if result else None, 1))
        spread = first.spread()
        cells.append("-" if spread is None else f"{spread[0]:,.0f} - {spread[1]:,.0f}")
        cells += [number(first.cpu_ms(), 2), megabytes(first.memory())]
        cells.append("" if loader == "smog" else times(ratio(smog, first.rate())))
        cells.append("" if loader == "smog" else times(ratio(first.cpu_ms(), smog_cpu)))
        cells.append(times(ratio(first.rate(), plain)))
        rows.append(cells)
    for (loader, of), reason in CANNOT.items():
        if of == views and run.has_loaders(views):
            rows.append([loader, reason, *[""] * (len(workers) + 5)])
    return rows


def loaders_section(run: Run, views: str, workers: list[int]) -> list[str]:
    if not run.has_loaders(views):
        return []
    rates = [f"images/s, {count} worker{'s' if count > 1 else ''}" for count in workers]
    head = ["loader", *rates, "slowest - fastest round", "CPU ms / image", "memory"]
    head += ["smog is", "by CPU", "of plain decode"]
    return [f"## {TITLES[views]}", "", *table(head, loader_rows(run, views, workers)), ""]


def writing_section(written: list[Written]) -> list[str]:
    lines: list[str] = []
    for data in dict.fromkeys(entry.data for entry in written):
        entries = [entry for entry in written if entry.data == data]
        copied = next((entry.megabytes_per_second() for entry in entries if entry.writer == "cp -r"), None)
        rows = []
        for entry in entries:
            rate = entry.megabytes_per_second()
            rows.append(
                [
                    entry.writer,
                    "FAILED" if entry.failure else number(rate),
                    number(entry.files_per_second()),
                    " ".join(f"{seconds:.2f}" for seconds in entry.seconds) or "-",
                    number(min(entry.cpu_seconds, default=None), 2),
                    times(ratio(rate, copied)),
                ]
            )
        head = ["writer", "MB/s", "files/s", "seconds of each round", "CPU s, least", "of cp -r"]
        size = f"{entries[0].files:,} files, {entries[0].bytes / 1e6:,.0f} MB"
        lines += [f"## Writing a data set: {data} ({size})", "", *table(head, rows), ""]
    return lines


def targets_section(targets: list[Target]) -> list[str]:
    if not targets:
        return []
    rows = [[it.what, f"{it.least:g} x", times(it.reached), times(it.by_cpu), it.verdict()] for it in targets]
    return ["## Targets", "", *table(["ratio", "wanted", "measured", "by CPU time", ""], rows), ""]


def failures_section(failures: list[str]) -> list[str]:
    if not failures:
        return []
    return ["## NOT MEASURED", "", *(f"- {failure}" for failure in failures), ""]


def tables(run: Run, workers: list[int], targets: list[Target]) -> list[str]:
    """Everything that was measured."""
    lines = failures_section(run.failures())
    for views in (ONE_VIEW, SMOG_VIEWS):
        lines += loaders_section(run, views, workers)
    return lines + writing_section(run.written) + targets_section(targets)


def markdown(facts: Facts, lines: list[str]) -> str:
    """The file for docs/benchmarks/."""
    head = [f"# smog and its peers on a CPU, {facts.date}", ""]
    head += [f"- {line}" for line in facts.machine]
    head += [f"- commit {facts.commit}", f"- {facts.data}", "", "```", facts.command, "```", ""]
    tail = ["## How it was measured", "", *(f"- {line}" for line in facts.method), ""]
    tail += ["Settings:", "", *(f"- {name}: {text}" for name, text in facts.settings.items()), ""]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items()))
    tail += [f"Versions: {versions}.", ""]
    return "\n".join(head + lines + tail)
