"""What measurements beside lightly and scikit-learn share: processes asked by turns, the environment, the heading."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
sys.path[:0] = [str(CLONE / "scripts"), str(CLONE / "benches/peers")]
import machine  # noqa: E402
import setup  # noqa: E402


class Side:
    """A process that answers each line with a line of JSON."""

    def __init__(self, *command: object) -> None:
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: object) -> dict:
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended with code {self.process.wait()}; its message is above")
        return json.loads(line)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def parser(description: str, rounds: int, cases: list[str]) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--threads", type=int, default=machine.cores())
    made.add_argument("--case", choices=cases, help="only this")
    made.add_argument("--python", help="an environment with what benches/lightly/requirements.txt names")
    made.add_argument("--out", type=Path, help="Markdown file to write as well")
    return made


def environment() -> Path:
    """The pinned environment's python; made if need be."""
    try:
        setup.install_packages(setup.missing_packages(need_pip=False, need_venv=True))
        return setup.make_venv(setup.cache_root(dict(os.environ)), "lightly", HERE / "requirements.txt")
    except setup.SetupError as error:
        raise SystemExit(str(error)) from error


def build(example: str) -> Path:
    """Our side of a measurement: an example of the model's crate."""
    subprocess.run(["cargo", "build", "--release", "--workspace", "--example", example], cwd=CLONE, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", CLONE / "target")) / "release/examples" / example


def heading(title: str, script: str, args: argparse.Namespace, how: str) -> list[str]:
    """Title, machine, commit and command."""
    return [
        f"# {title}, {datetime.date.today().isoformat()}",
        "",
        f"{machine.processor()} ({machine.vector_extensions()}), {machine.cores()} cores, {machine.operating_system()},"
        f" commit {machine.commit(CLONE)}.",
        f"`{Path(script).resolve().relative_to(CLONE)} --rounds {args.rounds}`: {how}",
    ]


def publish(lines: list[str], args: argparse.Namespace) -> None:
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)
