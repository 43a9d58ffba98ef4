"""What an epoch of fine-tuning costs: the coursework's pair of encoders next to the lab's own, in one run.

    python benchmarks/finetune.py                    # the demo, a few steps of each; some minutes on two cores
    python benchmarks/finetune.py --data ../course --steps 5
    python benchmarks/finetune.py --batch 32         # on a GPU: more pairs per step, bf16 against fp32, memory
    python benchmarks/finetune.py --data ../course --before ../old   # an older checkout against this one

The coursework's pair is RoBERTa-base and ConvNeXt-base at 384 pixels, batches of 4, all layers trained. Its weights are
random here: a step of them costs what a step of pretrained ones costs. The seconds per epoch are extrapolated from the
steps that were taken. With `--before` `fit` trains the preset `tuned` in new processes, three times by each side.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
import transformers

from mmlab.config import ALL_LAYERS, RunConfig
from mmlab.course import Course, read_course
from mmlab.device import find_device
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.features import Features
from mmlab.training import (
    AdamW,
    Inputs,
    TuningHooks,
    bucketed_batches,
    build_model,
    drop_modalities,
    fit,
    prepare_pairs,
    read_batches,
    total_loss,
)
from mmlab.training.inputs import list_side

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "data" / "demo"
TURNS = 3
PAIRS_PER_EPOCH = 3200


def make_big_encoders(folder: Path) -> tuple[str, str]:
    """RoBERTa-base and ConvNeXt-base with random weights, in their libraries' formats."""
    torch.manual_seed(0)
    text, image = folder / "roberta-base", folder / "convnext-base"
    tokenizer, _ = find_text_encoder("minilm").load()  # which words become which ids does not change the cost
    transformers.RobertaModel(transformers.RobertaConfig(max_position_embeddings=514)).save_pretrained(text)
    tokenizer.save_pretrained(text)
    timm.models.save_for_hf(timm.create_model("convnext_base"), image)
    return str(text), str(image)


def read_raw(course: Course, config: RunConfig) -> Inputs:
    """Token ids and pixels of a course without encoding it first, which would take an hour with the big pair."""
    widths = {
        "text": 2 * find_text_encoder(config.text_encoder).load()[1].config.hidden_size,
        "image": find_image_encoder(config.image_encoder).load()[1].num_features,
    }
    sides = {side: _Width(width) for side, width in widths.items()}
    features = Features(list(course.pairs["guid"]), **sides, digest="raw")
    return Inputs.of(list_side(course, "text"), list_side(course, "image"), config, features)


class _Width:
    """A side of which only the width of its vectors is asked."""

    def __init__(self, width: int):
        self.width = width


def measure(config: RunConfig, pairs: Features, rows: np.ndarray, steps: int) -> tuple[float, float]:
    """Seconds per step, after one that is not counted, and the most GPU memory used, in GiB."""
    device = find_device()
    torch.manual_seed(0)
    model = build_model(config, pairs).to(device).train()
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=config.lr, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    batches = bucketed_batches(rows, pairs.text.lengths, config.batch_size)[: steps + 1]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken, started = [], time.perf_counter()
    for chosen, batch in zip(batches, read_batches(pairs, batches, draw=0), strict=True):
        logits = model(drop_modalities(batch, config.modality_dropout).to(device))
        targets = torch.zeros(len(chosen), dtype=torch.long, device=device)
        scaler.scale(total_loss(logits, targets, None, config.label_smoothing)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
        started = time.perf_counter()
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    return float(np.mean(taken[1:])), memory


def time_steps(data: Path, steps: int) -> dict:
    """Train MiniLM as the preset `tuned` does; medians over its steps of wall and CPU seconds, and the last dev loss.

    It calls only what a checkout of an older commit has as well.
    """
    course, config = read_course(data), RunConfig.from_params({}, "tuned").replace(epochs=1)
    pairs, rows = prepare_pairs(course, config, progress=None), np.random.default_rng(0).permutation(len(course.labels))
    train_rows, dev_rows = np.split(rows[: steps * config.batch_size + 64], [-64])
    wall, cpu = [], []

    def on_batch(pairs: int, loss: float) -> None:
        wall.append(time.perf_counter())
        cpu.append(time.process_time())

    fitted = fit(config, pairs, course.labels, train_rows, dev_rows, hooks=TuningHooks(config, on_batch))
    medians = {"wall": float(np.median(np.diff(wall))), "cpu": float(np.median(np.diff(cpu)))}
    return {**medians, "dev_loss": float(fitted.history["dev_loss"].iloc[-1])}


def compare_commits(before: Path, data: Path, steps: int) -> None:
    """Both sides in turns, each time in a new process; medians of three, printed and written for docs/speed.md."""
    from results import write_result

    taken = {"before": [], "after": []}
    command = [sys.executable, __file__, "--data", str(data), "--steps", str(steps), "--side"]
    for _ in range(TURNS):
        for side, root in (("before", before), ("after", HERE.parent)):
            env = {**os.environ, "PYTHONPATH": str(root.resolve())}
            said = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
            taken[side].append(json.loads(said.splitlines()[-1]))
            print(f"{side:<7}", taken[side][-1], flush=True)
    batch = RunConfig.from_params({}, "tuned").batch_size
    step = f"a step of fine-tuning MiniLM, {batch} pairs"
    epoch = f"an epoch of fine-tuning MiniLM, {PAIRS_PER_EPOCH:,} pairs, extrapolated from its steps"
    rows = []
    for what, kind, unit, times in (
        (step, "wall", "s", 1),
        (step, "cpu", "CPU s", 1),
        (epoch, "wall", "s", PAIRS_PER_EPOCH / batch),
    ):
        sides = {side: times * float(np.median([one[kind] for one in some])) for side, some in taken.items()}
        rows.append({"what": what, **sides, "unit": unit})
        ratio = sides["before"] / sides["after"]
        print(f"{what}: {sides['before']:.2f} → {sides['after']:.2f} {unit}, {ratio:.2f} times as fast")
    write_result("finetune", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEMO)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4, help="pairs per step of the big pair")
    parser.add_argument("--before", type=Path, help="a checkout of an older commit, to compare the preset `tuned` with")
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(time_steps(options.data, options.steps)))
        return
    if options.before:
        compare_commits(options.before, options.data, options.steps)
        return
    course = read_course(options.data)
    rows = np.arange(len(course.labels))
    device = find_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"
    print(f"{name}; {len(rows)} pairs per epoch; the seconds per epoch are extrapolated from {options.steps} steps")
    print(f"{'pair':<44} {'batch':>5} {'arithmetic':>10} {'s/step':>8} {'pairs/s':>8} {'s/epoch':>9} {'GiB':>6}")

    def measure_and_print(label: str, config: RunConfig, pairs: Features) -> float:
        seconds, memory = measure(config, pairs, rows, options.steps)
        epoch = seconds * len(rows) / config.batch_size
        row = f"{label:<44} {config.batch_size:>5} {config.precision:>10} {seconds:>8.2f}"
        print(f"{row} {config.batch_size / seconds:>8.1f} {epoch:>9.0f} {memory:>6.1f}", flush=True)
        return epoch

    with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
        text, image = make_big_encoders(Path(folder))
        knobs = {"text_encoder": text, "image_encoder": image, "batch_size": options.batch, "text_layers": ALL_LAYERS}
        big = RunConfig.from_params({**knobs, "image_layers": ALL_LAYERS, "image_side": 384}, "gpu")
        pairs = read_raw(course, big)
        label = "RoBERTa-base + ConvNeXt-base, 384 px, all"
        theirs = [measure_and_print(label, big.replace(precision=p), pairs) for p in ("fp32", "bf16")]
    tuned = RunConfig.from_params({}, "tuned")
    pairs = prepare_pairs(course, tuned, progress=None)
    label = "MiniLM trained, EfficientNet-Lite0 cached"
    ours = [measure_and_print(label, tuned.replace(precision=p), pairs) for p in ("fp32", "bf16")]
    print(f"an epoch of the first pair takes {min(theirs) / min(ours):.0f} times as long as one of the second")


if __name__ == "__main__":
    main()
