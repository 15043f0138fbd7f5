"""Loaders as processes: the peers' stay alive between windows, smog's program runs once for each."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from figures import Window


class LoaderError(Exception):
    """A loader that did not start, stopped or does not answer; the text says why."""


def last_words(log: Path) -> str:
    """The end of what the program wrote to standard error, on one line: an exception's name and message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1][:300]} (from {log.name})" if lines else "it said nothing"


class LoaderProcess:
    """A peer's loader. `start` it, `measure` as often as wanted, `stop` it.

    Between windows all its processes are halted: else they would fill their queues while others are measured.
    """

    # For importing torch, compiling FFCV's pipeline, writing FFCV's file.
    start_seconds = 300.0

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.command, self.log, self.environment = command, log, environment
        self.process: subprocess.Popen[bytes] | None = None
        self.received = b""
        self.settings = ""
        self.versions: dict[str, str] = {}

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        hello = self.answer(self.start_seconds)
        self.settings, self.versions = hello["settings"], hello["versions"]
        self.send(signal.SIGSTOP)

    def measure(self, warmup_seconds: float, seconds: float) -> Window:
        assert self.process is not None and self.process.stdin is not None
        request = {"warmup_seconds": warmup_seconds, "seconds": seconds}
        self.send(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise LoaderError(f"it ended: {last_words(self.log)}") from None
        # A slow loader has to finish a number of batches, however long they take.
        answer = self.answer(60 + 10 * (warmup_seconds + seconds))
        self.send(signal.SIGSTOP)
        return Window(
            images_per_second=answer["images"] / answer["seconds"],
            cpu_ms_per_image=1e3 * answer["cpu_seconds"] / answer["images"],
            memory_bytes=answer["memory_bytes"],
        )

    def answer(self, limit_seconds: float) -> dict:
        """The next line that the loader writes."""
        assert self.process is not None and self.process.stdout is not None
        deadline = time.monotonic() + limit_seconds
        while b"\n" not in self.received:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise LoaderError(f"no answer within {limit_seconds:.0f} s: {last_words(self.log)}")
            block = os.read(self.process.stdout.fileno(), 65536)
            if not block:
                code = self.process.wait()
                raise LoaderError(f"it ended with code {code}: {last_words(self.log)}")
            self.received += block
        line, _, self.received = self.received.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        """Ends the loader with all its processes."""
        if self.process is None:
            return
        self.send(signal.SIGKILL)
        self.process.communicate()
        self.process = None

    def send(self, number: signal.Signals) -> None:
        """To the loader and all processes that it started."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:  # what it died of is found when its answer is read
            pass


class SmogProgram:
    """`smog-tools bench`, which measures one window in a call."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log = command, log
        self.settings = ""
        self.versions: dict[str, str] = {}

    def start(self) -> None:
        """Nothing has to be kept alive: the program starts in a moment."""

    def stop(self) -> None:
        """Nothing is alive."""

    def measure(self, warmup_seconds: float, seconds: float) -> Window:
        command = [*self.command, "--seconds", str(seconds), "--json"]
        if "pipeline" in command:
            command += ["--warmup-seconds", str(warmup_seconds)]
        with self.log.open("wb") as log:
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, timeout=60 + 10 * seconds)
            except subprocess.TimeoutExpired as error:
                raise LoaderError(f"no answer within {error.timeout:.0f} s: {last_words(self.log)}") from None
        if done.returncode != 0:
            raise LoaderError(f"it ended with code {done.returncode}: {last_words(self.log)}")
        return smog_window(json.loads(done.stdout))


def smog_window(answer: dict) -> Window:
    """What `smog-tools bench pipeline|stage --json` says."""
    if "refused" in answer:
        # A stage is timed by the clock only.
        bad, cpu_ms = answer["refused"], None
    else:
        bad = answer["bad_samples"]
        cpu_ms = answer["decode_cpu_ms"] + answer["augment_cpu_ms"] + answer["fetch_cpu_ms"]
    if bad:
        raise LoaderError(f"{bad} images were refused; the others would not be the same work as the peers'")
    return Window(answer["images_per_second"], cpu_ms, answer.get("peak_bytes"))
