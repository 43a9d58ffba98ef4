"""Where a run's seconds go, both sides of each decision from one run: python benchmarks/speed.py [COURSE] [PAIRS]

- `import mmlab` beside importing torch;
- encoding in the arithmetic and memory layout the lab uses beside the other choice (text, then image);
- features encoded beside features read from the cache;
- training on one summary a side beside training on whole sequences.
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

        from mmlab import encoders
        from mmlab.config import RunConfig
        from mmlab.course.reading import read_course
        from mmlab.features import encode_course
        from mmlab.training.loop import cross_fit

        course = read_course(folder)
        print(f"read {len(course.pairs)} pairs, warm         {seconds(lambda: read_course(folder)):8.2f} s")
        texts, images = list(course.pairs.text[:n]), list(course.pairs.image[:n])
        text, image = encoders.find_text_encoder("minilm"), encoders.find_image_encoder("efficientnet_lite0")
        _ = text._loaded, image._loaded  # weights are read once: not what is compared
        text.encode(texts[:64]), image.encode(images[:32])
        here = f"text {encoders._text_arithmetic()}, image {encoders._arithmetic()}"
        print(f"\nencode {n} pairs ({here})")
        print_pair("as the lab does it", text, texts, image, images)
        usual = encoders._arithmetic, encoders._text_arithmetic
        encoders._arithmetic, encoders._text_arithmetic = lambda: "fp32", lambda: "bf16"
        image._loaded[1].to(memory_format=torch.contiguous_format)
        print_pair("text bf16, image fp32", text, texts, image, images)
        encoders._arithmetic, encoders._text_arithmetic = usual
        cold, warm = (seconds(lambda: encode_course(course, progress=False)) for _ in range(2))
        print(f"\nencode all pairs: nothing cached {cold:.1f} s, cached {warm:.1f} s")
        features = encode_course(course, progress=False)
        print("\ncross-fit 5 folds, 1 seed     seconds   epochs")
        for fusion in ("gated", "attention"):
            config = RunConfig(fusion=fusion, seeds=1)
            started = time.perf_counter()
            epochs = len(cross_fit(config, course, features).history)
            kind = "summaries" if fusion == "gated" else "sequences"
            print(f"{fusion:<10} ({kind})       {time.perf_counter() - started:8.1f} {epochs:8d}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, int(sys.argv[2]) if len(sys.argv) > 2 else 256)
