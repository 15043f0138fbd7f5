"""What scripts/gpu-check checks. Each check gives its rows as it has them, so that a failure later loses none."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import gpu_report as report
from gpu_machine import CLONE, Broken, Machine, last_lines
from gpu_report import FAILED, MEASURED, PASSED, SKIPPED, Row


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
# Where launches matter most: a small network, and a large one with few images, for which the GPU waits for them.
SMALL = (
    "run.batch_size=128", "run.precision=bf16", "schedule.warmup=never", "reset.every=never",
    'run.log_every="10 steps"',
)  # fmt: skip
FEW = 8
REHEARSAL = Sizes("demo", 160, "48..64", TINY, 40, 1)
# Made to fit into nine minutes: three runs of so many steps are most of the time.
FULL = Sizes("imagenet-resnet50-multicrop", 4000, "375..500", LARGE, 220, 8)
QUICK = dataclasses.replace(FULL, steps=80, seconds=5)

# What an `event: gpu` line may hold, in words.
GPU_FIGURES = {
    "gpu_sm_percent": "multiprocessors at work",
    "gpu_tensor_percent": "tensor cores at work",
    "gpu_dram_percent": "bandwidth of the memory",
    "gpu_nvjpg_percent": "JPEG engines at work",
    "gpu_busy_percent": "some kernel ran",
}


def make_data(machine: Machine, sizes: Sizes, given: Path | None, work: Path) -> Path:
    images = given or work / "images"
    if given is None:
        held_out = max(16, sizes.images // 40)
        machine.call("smog-tools", "synth", images, "--images", sizes.images, "--test-images", held_out,
                     "--size", sizes.pixels)  # fmt: skip
    machine.call("smog-tools", "shard", images, "--out", work / "shards", codes=(0, 3))
    return work / "shards"


def compared(sizes: Sizes) -> tuple[str, tuple[str, ...]]:
    """Preset and settings of what compares losses, with a line of the log for every step."""
    preset, settings = ("demo", TINY) if sizes is REHEARSAL else ("imagenet-resnet50", COMPARED)
    return preset, (*settings, 'run.log_every="1 steps"')


def one_step(machine: Machine, sizes: Sizes, data: Path, work: Path) -> Iterator[Row]:
    """The loss of the first steps: that of the first is the same but for rounding; later ones drift apart, as groups
    are chosen by the largest of many numbers."""
    preset, settings = compared(sizes)
    settings += ("reset.every=never",)

    def run(name: str, device: str, *sets: str) -> Path:
        return machine.train(work / name, data, preset, settings + sets, "--steps", 5, "--device", device)

    def at_most(name: str, found: float, expected: float, limit: float) -> Row:
        return report.check(name, report.relative(found, expected), limit, at_least=False)

    cpu, gpu = run("step-cpu", "cpu"), run("step-gpu", machine.device)
    expected, found = report.losses(cpu), report.losses(gpu)
    norms = [report.events(path, "step")[0]["gradient_norm"] for path in (gpu, cpu)]
    yield at_most("loss of step 1, against the CPU", found[1], expected[1], 1e-4)
    yield at_most("gradient of step 1, against the CPU", *norms, 1e-2)
    yield at_most("loss of step 5, against the CPU", found[5], expected[5], 2e-2)
    half = run("step-bf16", machine.device, "run.precision=bf16")
    yield at_most("loss of step 1, bf16 against f32", report.losses(half)[1], found[1], 2e-2)
    name = "loss of step 1, views made on the GPU against views made on the CPU"
    if machine.device == "cpu":
        yield Row(name, SKIPPED, note="needs a GPU")
        return
    # nvJPEG decodes a little otherwise than libjpeg-turbo, so views differ by some levels.
    there = run("step-renderer", machine.device, "stream.renderer=cuda")
    yield at_most(name, report.losses(there)[1], found[1], 2e-2)


def loader(machine: Machine, sizes: Sizes, data: Path, _work: Path) -> Iterator[Row]:
    text = machine.call("smog-tools", "bench", "pipeline", "--data", data / "train", "--preset", "smog_multicrop",
                        "--batch", 64 if sizes is not REHEARSAL else 8, "--seconds", sizes.seconds,
                        "--workers", len(os.sched_getaffinity(0)), "--json").stdout  # fmt: skip
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    if not rates:
        raise Broken("smog-tools bench pipeline gave no images_per_second")
    note = "decode and six views of 2 x 224 + 4 x 96, on all cores"
    yield Row("views alone, CPU renderer", MEASURED, max(rates), "images/s", note=note)


def never_starved(machine: Machine, sizes: Sizes, data: Path, work: Path) -> Iterator[Row]:
    def run(name: str, mode: str, *sets: str) -> Path:
        return machine.train(
            work / name, data, sizes.preset, (*sizes.settings, "run.checkpoint_every=never", *sets),
            "--steps", sizes.steps, "--device", machine.device, "--data-mode", mode)  # fmt: skip

    ceiling = report.rate(run("resident", "resident"))
    yield Row("one resident batch: the ceiling", MEASURED, ceiling, "images/s")
    yield from beside_ceiling("CPU renderer", run("stream", "stream", "stream.renderer=cpu"), ceiling, machine)
    if machine.device == "cpu":
        yield Row("data path with the GPU renderer", SKIPPED, note="needs a GPU")
        return
    yield from beside_ceiling("GPU renderer", run("renderer", "stream", "stream.renderer=cuda"), ceiling, machine)


def launches(machine: Machine, sizes: Sizes, data: Path, work: Path) -> Iterator[Row]:
    """Whether a CUDA graph of the step would pay: what the host needs to queue a step, over what the GPU needs for it.
    The driver holds a host up that is too far ahead, so for the large batch that is an upper bound, and the time for a few
    images, which takes as many launches, is set beside it."""
    tiny = sizes is REHEARSAL

    def run(name: str, preset: str, settings: tuple[str, ...]) -> Path:
        return machine.train(
            work / name, data, preset, (*settings, "run.checkpoint_every=never"), "--steps", 2 if tiny else 60,
            "--device", machine.device, "--data-mode", "resident")  # fmt: skip

    scaled = ("run.batch_size=8", "run.precision=f32", "model.encoder.width=8", "model.groups.count=8") if tiny else ()
    small = run("launches-small", "cifar10-resnet18", (*SMALL, *scaled))
    few = run("launches-few", sizes.preset, (*sizes.settings, f"run.batch_size={FEW}", 'run.log_every="10 steps"'))
    name = "host time to queue a step over the GPU's time for it"
    if machine.device == "cpu":
        yield Row(name, SKIPPED, note="rehearsed; on a CPU a step is done while it is queued")
        return
    yield Row(f"{name}, ResNet-18 of 32 pixels, batch 128", MEASURED, *report.launches(small))
    large = work / "resident"
    if not large.is_dir():
        raise Broken("the run on one resident batch, with which the others are compared, was not made")
    network = f"ResNet-50, batch {report.setting(sizes.settings, 'run.batch_size')}"
    yield Row(f"{name}, {network}", MEASURED, *report.launches(large))
    host, device = report.middle(few, "launch_seconds"), report.middle(large, "step_seconds")
    note = f"{1e3 * host:.1f} of {1e3 * device:.1f} ms; below 0.8 launches hide, and a CUDA graph of the step gains nothing"
    yield Row(f"host time to queue {FEW} images over the GPU's time for a step, {network}", MEASURED, host / device, note=note)


def beside_ceiling(renderer: str, run: Path, ceiling: float, machine: Machine) -> Iterator[Row]:
    """What a run with a data path got of the rate without one, and what the driver saw of it."""
    judged = machine.device != "cpu"
    rate, summary = report.rate(run), report.events(run, "summary")[-1]
    wait = summary.get("device_wait_ratio", summary["data_wait_ratio"])
    who = "GPU" if "device_wait_ratio" in summary else "trainer"
    yield Row(f"with the data path, {renderer}", MEASURED, rate, "images/s")
    yield report.check(f"data path over ceiling, {renderer}", rate / ceiling, 0.98, judged=judged)
    row = report.check(f"the {who} waited for data, {renderer}", 100 * wait, 1.0, "%", at_least=False, judged=judged)
    row.note = f"slowest stage: {summary['slowest_stage']}; rings full to: {report.rings(summary)}"
    yield row
    figures = {words: report.settled(run, key, kind="gpu") for key, words in GPU_FIGURES.items()}
    for words, values in figures.items():
        if values:
            yield Row(f"{words}, {renderer}", MEASURED, sum(values) / len(values), "%")
    if judged and not any(figures.values()):
        yield Row(f"figures of the driver, {renderer}", SKIPPED, note="NVML gave none; the run notes why")


def resume(machine: Machine, sizes: Sizes, data: Path, work: Path) -> Iterator[Row]:
    """A whole run, and one that goes on from the checkpoint in its middle: both have the same past."""
    preset, settings = compared(sizes)
    settings += ('reset.every="6 steps"', 'run.checkpoint_every="8 steps"')
    whole = machine.train(work / "whole", data, preset, settings, "--steps", 16, "--device", machine.device)
    resumed = work / "resumed"
    shutil.copytree(whole, resumed)
    (resumed / "checkpoints/latest").write_text("step-00000008\n")
    machine.call("smog-trainer", "run", "--resume", resumed)
    expected, found = report.losses(whole), report.losses(resumed, since="resume")
    if sorted(found) != list(range(9, 17)):
        raise Broken(f"the run resumed after step 8 did steps {sorted(found)}")
    if machine.device == "cpu":
        other = [step for step in found if expected[step] != found[step]]
        state, value = (FAILED, f"differs from step {other[0]} on") if other else (PASSED, "equal to the last bit")
        yield Row("a resumed run", state, value)
        return
    for step, limit in ((9, 1e-4), (16, 0.1)):
        # Sums by atomics come out in another order each time, so a GPU's runs differ in the last bits, and then drift.
        name = f"resumed after step 8, loss of step {step}"
        yield report.check(name, report.relative(found[step], expected[step]), limit, at_least=False)


def beside_lightly(machine: Machine, sizes: Sizes, data: Path, work: Path) -> Iterator[Row]:
    name = "step, against lightly's in PyTorch"
    if machine.ask("import lightly, torchvision") is None:
        yield Row(name, SKIPPED, note="lightly or torchvision is not installed here; pip install lightly")
        return
    script = CLONE / "benches/step/lightly_step.py"
    if not script.is_file():
        yield Row(name, SKIPPED, note=f"{script} is not here")
        return
    rehearsal = sizes is REHEARSAL
    arch, side, batch, groups = ("resnet18", 64, 8, 64) if rehearsal else ("resnet50", 224, 128, 3000)
    precision = "f32" if rehearsal else "bf16"
    steps = 2 if rehearsal else 40
    command = [machine.python, "-B", str(script), arch, str(side), str(batch), str(groups), "1", "--channels-last"]
    command += ["--device", machine.device, "--precision", precision]
    # The first block is for warming up.
    done = machine.finish("lightly's step", command, given=f"{steps}\n{steps}\n")
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
    yield row


def kernels(machine: Machine, sizes: Sizes, data: Path, _work: Path) -> Iterator[Row]:
    """Kernels and renderer on the GPU, as `smog-tools cuda check` finds them."""
    if machine.device == "cpu":
        yield Row("kernels and renderer on the GPU", SKIPPED, note="needs a GPU")
        return
    number = machine.device.partition(":")[2] or "0"
    broken = None
    try:
        done = machine.call("smog-tools", "cuda", "check", "--json", "--device", number, "--data", data,
                            "--seconds", sizes.seconds, codes=(0, 1))  # fmt: skip
        text, errors, code = done.stdout, done.stderr, done.returncode
    except Broken as error:
        # What it had found by then counts.
        broken, text, errors, code = error, error.output, error.errors, None
    found = kernel_rows(text)
    yield from found
    if broken:
        raise broken
    if code != report.exit_code(found) or not found:
        said = last_lines(errors) or "nothing"
        raise Broken(f"smog-tools cuda check left with {code} after {len(found)} findings; it had said: {said}")


def kernel_rows(text: str) -> list[Row]:
    """The findings of `smog-tools cuda check --json`, a line for each part; a line cut short is passed over."""
    states = {True: PASSED, False: FAILED, None: MEASURED}
    return [
        Row(found["name"], states[found["passed"]], found["value"], found["unit"], found["target"], found.get("note", ""))
        for part in report.json_lines(text)
        for found in part["checks"]
    ]


# What tells right from wrong comes first, should the time not suffice for all.
ALL = (
    ("one step", one_step), ("kernels", kernels), ("never starved", never_starved), ("resume", resume),
    ("launches", launches), ("lightly", beside_lightly), ("views alone", loader),
)  # fmt: skip
