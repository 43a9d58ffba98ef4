"""Where a run's seconds go, both sides of each decision from one run: python benchmarks/speed.py [COURSE] [PAIRS]

- `import mmlab` next to importing torch;
- encoding in the arithmetic and memory layout that the lab uses next to the other choice (text, then image);
- features encoded next to features read from the cache;
- training on one summary per side next to training on whole sequences.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def import_seconds(module: str) -> float:
    """Median of five fresh interpreters, less the interpreter's own start."""

    def start(code):
        return statistics.median(seconds(lambda: subprocess.run([sys.executable, "-c", code])) for _ in range(5))

    return start(f"import {module}") - start("pass")


def print_pair(name: str, text, texts: list[str], image, images: list[str]) -> None:
    print(f"{name:<24} {seconds(lambda: text.encode(texts)):8.2f} {seconds(lambda: image.encode(images)):8.2f} s")


def main(folder: Path, n: int) -> None:
    print(f"import mmlab                    {import_seconds('mmlab'):8.2f} s")
    print(f"import torch                    {import_seconds('torch'):8.2f} s")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MMLAB_CACHE"] = cache
        import torch

        from mmlab.config import RunConfig
        from mmlab.course import read_course
        from mmlab.device import find_precision
        from mmlab.encoders import find_image_encoder, find_text_encoder
        from mmlab.features import encode_course
        from mmlab.training import cross_fit

        course = read_course(folder)
        print(f"read {len(course.pairs)} pairs, warm         {seconds(lambda: read_course(folder)):8.2f} s")
        texts, images = list(course.pairs.text[:n]), list(course.pairs.image[:n])
        print(f"\nencode {n} pairs (text {find_precision('text')}, image {find_precision('image')})")
        for name, knobs in {"as the lab does it": ("auto", "auto"), "text bf16, image fp32": ("bf16", "fp32")}.items():
            text, image = find_text_encoder("minilm", knobs[0]), find_image_encoder("efficientnet_lite0", knobs[1])
            text.encode(texts[:64]), image.encode(images[:32])  # weights are read once: not what is compared
            if knobs[1] == "fp32":
                image._loaded[1].to(memory_format=torch.contiguous_format)
            print_pair(name, text, texts, image, images)
        cold, warm = (seconds(lambda: encode_course(course, progress=None)) for _ in range(2))
        print(f"\nencode all pairs: nothing cached {cold:.1f} s, cached {warm:.1f} s")
        features = encode_course(course, progress=None)
        print("\ncross-fit 5 folds, 1 seed     seconds   epochs")
        for fusion in ("gated", "attention"):
            config = RunConfig(fusion=fusion, seeds=1)
            started = time.perf_counter()
            epochs = len(cross_fit(config, course, features).history)
            kind = "summaries" if fusion == "gated" else "sequences"
            print(f"{fusion:<10} ({kind})       {time.perf_counter() - started:8.1f} {epochs:8d}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, int(sys.argv[2]) if len(sys.argv) > 2 else 256)
