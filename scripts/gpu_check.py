#!/usr/bin/env python3
"""Checks and measures smog on a machine with a GPU; prints a table and writes JSON.

    scripts/gpu-check [--device cuda:0] [--bin FOLDER] [--images FOLDER] [--out FILE.json] [--quick]
    scripts/gpu-check --device cpu      the same checks on the CPU, tiny: a rehearsal that judges no speed

Needs Python 3.10 with torch 2.11 (its libraries are what the programs load), and the programs smog-trainer and
smog-tools. Facts; one step on GPU and CPU; the run that must never wait for data beside a run on one resident batch; a
run with an interruption; our step beside lightly's where lightly is installed; what smog-tools itself can say of the
kernels. Pictures are drawn unless --images names a folder of train/CLASS/*.jpg.

Exit codes: 0 all that was checked passed, 1 something failed, 2 wrong arguments, 77 there is no GPU here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_report as report  # noqa: E402
from gpu_report import FAILED, MEASURED, PASSED, SKIPPED, Row  # noqa: E402

CLONE = Path(__file__).resolve().parent.parent
NO_GPU = 77
INTERRUPTED = 75

class Broken(Exception):
    """A check that could not be made; the text says why."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is run."""

    preset: str
    images: int
    pixels: str
    settings: tuple[str, ...]
    steps: int
    # Seconds of the loader alone.
    seconds: int


TINY = (
    "model.encoder.width=8", "model.projector_hidden=16", "model.predictor_hidden=16", "model.dim=8",
    "model.groups.count=8", "augment.views.0.size=32", "augment.views.1.size=32", "eval.size=32", "eval.resize=32",
    "run.batch_size=8", "run.precision=f32", "schedule.warmup=never", "stream.num_slots=3",
)  # fmt: skip
LARGE = (
    "run.batch_size=256", "run.precision=bf16", "model.groups.count=3000", "schedule.warmup=never",
    "reset.every=never", "stream.num_slots=6", "stream.memory_budget_mib=16384", "model.accumulate=off",
)  # fmt: skip
# One small network for what compares losses: a CPU has to take the step, too.
COMPARED = (
    "model.encoder.arch=resnet18", "model.groups.count=64", "augment.views.0.size=96", "augment.views.1.size=96",
    "eval.size=96", "run.batch_size=32", "run.precision=f32", "schedule.warmup=never",
    'run.log_every="1 steps"',
)  # fmt: skip
REHEARSAL = Sizes("demo", 160, "48..64", TINY, 40, 1)
QUICK = Sizes("imagenet-resnet50-multicrop", 4000, "375..500", LARGE, 120, 5)
FULL = dataclasses.replace(QUICK, steps=500, seconds=10)


class Machine:
    """The programs, and where they look for libraries."""

    def __init__(self, programs: Path, device: str, python: str) -> None:
        self.programs, self.device = programs, device
        self.environment = dict(os.environ)
        # The wheel's folder holds both halves of libtorch; its own paths lead to NVIDIA's libraries.
        self.torch = ask(python, "import torch; print(torch.__version__, torch.__path__[0])")
        if self.torch and self.torch.startswith("2.11.") and device != "cpu":
            package = Path(self.torch.split(maxsplit=1)[1])
            folders = [str(package / "lib"), str(package.parent / "nvidia/cu13/lib"), os.environ.get("LD_LIBRARY_PATH")]
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(folder for folder in folders if folder)
            # torchvision brings nvJPEG along under a name of its own.
            bundled = sorted((package.parent / "torchvision.libs").glob("libnvjpeg*.so*"))
            if bundled:
                self.environment.setdefault("SMOG_NVJPEG", str(bundled[0]))

    def call(self, *words: object, codes: tuple[int, ...] = (0,)) -> str:
        command = [str(self.programs / str(words[0])), *map(str, words[1:])]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode not in codes:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Broken(f"{words[0]} {words[1]} left with {done.returncode}: {lines[-1] if lines else 'no message'}")
        return done.stdout

    def train(self, run: Path, data: Path, preset: str, settings: tuple[str, ...], *words: object, **more) -> Path:
        sets = [word for setting in settings for word in ("--set", setting)]
        head = ("smog-trainer", "run", "--preset", preset, "--data", data, "--run-dir", run)
        self.call(*head, *sets, *words, **more)
        return run


def ask(python: str, program: str) -> str | None:
    """What a line of Python prints; None where it fails."""
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def facts(machine: Machine, python: str) -> dict[str, str | None]:
    query = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,pcie.link.gen.max", "--format=csv,noheader")
    libraries = output("ldconfig", "-p") or ""
    names = ("libcuda.so", "libnvjpeg", "libnvrtc.so", "libnccl.so")
    return {
        "gpu": output(*query),
        "cores": str(len(os.sched_getaffinity(0))),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "torch": machine.torch,
        "torchvision": ask(python, "import torchvision; print(torchvision.__version__)"),
        "lightly": ask(python, "import lightly; print(lightly.__version__)"),
        "libraries": ", ".join(sorted({line.split()[0] for line in libraries.splitlines() if any(n in line for n in names)})),
        "smog-trainer": machine.call("smog-trainer", "--version").strip(),
    }  # fmt: skip


def make_data(machine: Machine, sizes: Sizes, given: Path | None, work: Path) -> Path:
    images = given or work / "images"
    if given is None:
        held_out = max(16, sizes.images // 40)
        machine.call("smog-tools", "synth", images, "--images", sizes.images, "--test-images", held_out,
                     "--size", sizes.pixels)  # fmt: skip
    machine.call("smog-tools", "shard", images, "--out", work / "shards", codes=(0, 3))
    return work / "shards"


def one_step(machine: Machine, sizes: Sizes, data: Path, work: Path) -> list[Row]:
    """The loss of the first steps: that of the first is the same but for rounding; later ones drift apart, as groups
    are chosen by the largest of many numbers."""
    settings = (TINY if sizes is REHEARSAL else COMPARED) + ('run.log_every="1 steps"', "reset.every=never")
    preset = sizes.preset if sizes is REHEARSAL else "imagenet-resnet50"
    run = lambda name, device, *sets: machine.train(  # noqa: E731
        work / name, data, preset, settings + sets, "--steps", 5, "--device", device)  # fmt: skip
    cpu, gpu = run("step-cpu", "cpu"), run("step-gpu", machine.device)
    half = run("step-bf16", machine.device, "run.precision=bf16")
    expected, found, rounded = report.losses(cpu), report.losses(gpu), report.losses(half)
    norms = [report.events(path, "step")[0]["gradient_norm"] for path in (gpu, cpu)]
    return [
        report.check("loss of step 1, against the CPU", report.relative(found[1], expected[1]), 1e-4, at_least=False),
        report.check("gradient of step 1, against the CPU", report.relative(*norms), 1e-2, at_least=False),
        report.check("loss of step 5, against the CPU", report.relative(found[5], expected[5]), 2e-2, at_least=False),
        report.check("loss of step 1, bf16 against f32", report.relative(rounded[1], found[1]), 2e-2, at_least=False),
    ]


def loader(machine: Machine, sizes: Sizes, data: Path, work: Path) -> list[Row]:
    text = machine.call("smog-tools", "bench", "pipeline", "--data", data / "train", "--preset", "smog_multicrop",
                        "--batch", 64 if sizes is not REHEARSAL else 8, "--seconds", sizes.seconds,
                        "--workers", len(os.sched_getaffinity(0)), "--json")  # fmt: skip
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    if not rates:
        raise Broken("smog-tools bench pipeline gave no images_per_second")
    note = "decode and six views of 2 x 224 + 4 x 96, on all cores"
    return [Row("views alone, CPU renderer", MEASURED, max(rates), "images/s", note=note)]


def never_starved(machine: Machine, sizes: Sizes, data: Path, work: Path) -> list[Row]:
    judged = machine.device != "cpu"
    run = lambda mode: machine.train(  # noqa: E731
        work / mode, data, sizes.preset, sizes.settings + ("run.checkpoint_every=never",),
        "--steps", sizes.steps, "--device", machine.device, "--data-mode", mode)  # fmt: skip
    ceiling, stream = run("resident"), run("stream")
    rates = [report.rate(path) for path in (stream, ceiling)]
    summary = report.events(stream, "summary")[-1]
    wait = summary.get("device_wait_ratio", summary["data_wait_ratio"])
    who = "GPU" if "device_wait_ratio" in summary else "trainer"
    rows = [
        Row("one resident batch: the ceiling", MEASURED, rates[1], "images/s"),
        Row("with the data path", MEASURED, rates[0], "images/s"),
        report.check("data path over ceiling", rates[0] / rates[1], 0.98, judged=judged),
        report.check(f"the {who} waited for data", 100 * wait, 1.0, "%", at_least=False, judged=judged),
    ]
    rows[-1].note = f"slowest stage: {summary['slowest_stage']}"
    return rows


def resume(machine: Machine, sizes: Sizes, data: Path, work: Path) -> list[Row]:
    settings = (TINY if sizes is REHEARSAL else COMPARED) + ('run.log_every="1 steps"', 'reset.every="6 steps"')
    preset = sizes.preset if sizes is REHEARSAL else "imagenet-resnet50"
    words = ("--steps", 16, "--device", machine.device)
    whole = machine.train(work / "whole", data, preset, settings, *words)
    cut = work / "cut"
    machine.train(cut, data, preset, settings, *words, "--stop-after", 8, codes=(INTERRUPTED,))
    machine.call("smog-trainer", "run", "--resume", cut)
    expected, found = report.losses(whole), report.losses(cut)
    if sorted(found) != list(range(1, 17)):
        raise Broken(f"the resumed run has steps {sorted(found)}")
    if machine.device == "cpu":
        same = [step for step in expected if expected[step] != found[step]]
        state, value = (FAILED, f"differs from step {same[0]} on") if same else (PASSED, "equal to the last bit")
        return [Row("a resumed run", state, value)]
    # Sums by atomics come out in another order each time, so a GPU's runs differ in the last bits, and then drift.
    return [
        report.check("resumed run, loss of its first step", report.relative(found[9], expected[9]), 1e-2, at_least=False),
        report.check("resumed run, loss of its last step", report.relative(found[16], expected[16]), 0.1, at_least=False),
    ]


def beside_lightly(machine: Machine, sizes: Sizes, data: Path, work: Path, python: str) -> list[Row]:
    name = "step, against lightly's in PyTorch"
    if ask(python, "import lightly, torchvision") is None:
        return [Row(name, SKIPPED, note="lightly or torchvision is not installed here; pip install lightly")]
    script = CLONE / "benches/step/lightly_step.py"
    if not script.is_file():
        return [Row(name, SKIPPED, note=f"{script} is not here")]
    rehearsal = sizes is REHEARSAL
    arch, side, batch, groups = ("resnet18", 64, 8, 64) if rehearsal else ("resnet50", 224, 128, 3000)
    precision = "f32" if rehearsal else "bf16"
    steps = 2 if rehearsal else 40
    command = [python, "-B", str(script), arch, str(side), str(batch), str(groups), "1", "--channels-last"]
    command += ["--device", machine.device, "--precision", precision]
    done = subprocess.run(command, input=f"{steps}\n{steps}\n", capture_output=True, text=True)
    if done.returncode != 0:
        raise Broken(f"lightly's step failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    seconds = sorted(json.loads(done.stdout.splitlines()[-1])["seconds"])
    theirs = batch / seconds[len(seconds) // 2]
    views = (f"augment.views.0.size={side}", f"augment.views.1.size={side}", f"eval.size={side}", "eval.resize=0")
    settings = (
        f"model.encoder.arch={arch}", "model.encoder.width=64", "model.direction=alternate", "model.dim=128",
        f"model.groups.count={groups}", "model.projector_hidden=2048", "model.predictor_hidden=2048",
        f"run.batch_size={batch}", f"run.precision={precision}", "optimizer.kind=sgd", "schedule.warmup=never",
        "reset.every=never", f'run.log_every="{10 if not rehearsal else 2} steps"', *views,
    )  # fmt: skip
    ours = report.rate(
        machine.train(work / "lightly", data, "demo" if rehearsal else "imagenet-resnet50", settings,
                      "--steps", 4 if rehearsal else 80, "--device", machine.device, "--data-mode", "resident"))  # fmt: skip
    row = report.check(name, ours / theirs, 1.3, "x", judged=machine.device != "cpu")
    row.note = f"{ours:,.0f} and {theirs:,.0f} images/s; {arch}, {side} px, batch {batch}, {precision}, channels_last"
    return [row]


def kernels(machine: Machine, sizes: Sizes, data: Path, _work: object) -> list[Row]:
    """Kernels and renderer on the GPU, as `smog-tools cuda check` finds them."""
    if machine.device == "cpu":
        return [Row("kernels and renderer on the GPU", SKIPPED, note="needs a GPU")]
    number = machine.device.partition(":")[2] or "0"
    text = machine.call("smog-tools", "cuda", "check", "--json", "--device", number, "--data", data,
                        "--seconds", sizes.seconds, codes=(0, 1))  # fmt: skip
    if not text.strip():
        raise Broken("smog-tools cuda check gave no figures; call it by hand to see why")
    states = {True: PASSED, False: FAILED, None: MEASURED}
    return [
        Row(found["name"], states[found["passed"]], found["value"], found["unit"], found["target"])
        for found in json.loads(text)["checks"]
    ]


def run_checks(machine: Machine, sizes: Sizes, given: Path | None, work: Path, python: str) -> list[Row]:
    data = make_data(machine, sizes, given, work)
    rows = []
    checks = (
        ("one step", one_step), ("views alone", loader), ("never starved", never_starved), ("resume", resume),
        ("lightly", lambda *all: beside_lightly(*all, python)), ("kernels", kernels),
    )  # fmt: skip
    for name, make in checks:
        started = time.monotonic()
        try:
            rows += make(machine, sizes, data, work)
        except Broken as error:
            rows.append(Row(name, FAILED, note=str(error)))
        except (KeyError, IndexError, ValueError) as error:
            rows.append(Row(name, FAILED, note=f"its figures cannot be read: {error!r}"))
        print(f"gpu-check: {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


def find_programs(given: Path | None) -> Path:
    folders = [given] if given else [Path(os.environ.get("CARGO_TARGET_DIR", CLONE / "target")) / "release", CLONE]
    for folder in folders:
        if all((folder / name).is_file() for name in ("smog-trainer", "smog-tools")):
            return folder.resolve()
    raise Broken(f"no smog-trainer and smog-tools in {' or '.join(map(str, folders))}; make build, or --bin FOLDER")


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a rehearsal")
    parser.add_argument("--bin", type=Path, help="folder of the programs [target/release]")
    parser.add_argument("--images", type=Path, help="folder of train/CLASS/*.jpg [drawn]")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="where the figures go")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch 2.11")
    parser.add_argument("--quick", action="store_true", help="120 steps instead of 500")
    parser.add_argument("--work", type=Path, help="folder for runs and shards; kept [a temporary one]")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    given = arguments(words)
    try:
        machine = Machine(find_programs(given.bin), given.device, given.python)
        known = facts(machine, given.python)
        asked = ("smog-trainer", "devices", "--json", "--device")
        try:
            known["device"] = json.loads(machine.call(*asked, given.device))["device"]
        except Broken as error:
            print(f"gpu-check: no GPU here, nothing was checked: {error}", file=sys.stderr)
            return NO_GPU
    except Broken as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    sizes = REHEARSAL if given.device == "cpu" else QUICK if given.quick else FULL
    for name, value in known.items():
        print(f"{name:14} {value or '-'}")
    work = given.work or Path(tempfile.mkdtemp(prefix="gpu-check-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        rows = run_checks(machine, sizes, given.images, work, given.python)
    except Broken as error:
        rows = [Row("data", FAILED, note=str(error))]
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    print("\n" + "\n".join(report.table(rows)) + f"\n\n{report.summary(rows)}")
    if given.device == "cpu":
        print("a rehearsal on the CPU: nothing here says anything about a GPU")
    figures = {"facts": known, "sizes": dataclasses.asdict(sizes), "rows": [dataclasses.asdict(row) for row in rows]}
    given.out.write_text(json.dumps(figures, indent=2) + "\n")
    return report.exit_code(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
