"""What could run the frozen encoders on a CPU, in turns: python benchmarks/engines.py [COURSE] [--items 128]

torch in fp32 and bf16, torch.jit frozen in bf16, ONNX Runtime where it is installed (with onnx), and OpenVINO in fp32
and bf16. Forward passes only: pixels of the two default encoders' size and token ids of a course are ready. Shows the
median and the best of the rounds, and how near the vectors are to torch in fp32 (mean cosine).
"""

import argparse
import io
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from results import write_result

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
BATCHES = {"images": (8, 32), "texts": (16, 64)}


def make_engines(network, key: str) -> dict:
    """Functions from a list of batches to a list of outputs, by name; one that cannot be made here is left out."""
    import torch

    from mmlab.engine import convert, network_folder, run_converted

    module = network.module.eval()
    examples = [torch.from_numpy(one) for one in network.examples[0]]

    def torch_in(dtype, called):
        def run(batches):
            found = []
            for arrays in batches:
                with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
                    found.append(called(*map(torch.from_numpy, arrays)).float().numpy())
            return found

        return run

    engines = {"torch fp32": torch_in(torch.float32, module), "torch bf16": torch_in(torch.bfloat16, module)}
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        frozen = torch.jit.freeze(torch.jit.trace(module, examples, check_trace=False))
    engines["torch.jit bf16"] = torch_in(torch.bfloat16, frozen)
    try:
        import onnxruntime

        file, names = io.BytesIO(), [f"input{number}" for number in range(len(examples))]
        axes = {name: ({0: "n"} if examples[i].ndim == 4 else {0: "n", 1: "length"}) for i, name in enumerate(names)}
        torch.onnx.export(
            module, tuple(examples), file, input_names=names, dynamic_axes=axes, dynamo=False, opset_version=17
        )
        session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
        engines["ONNX Runtime fp32"] = lambda batches: [
            session.run(None, dict(zip(names, arrays, strict=True)))[0] for arrays in batches
        ]
    except Exception as error:  # a comparison goes on without one of its sides
        print(f"ONNX Runtime is left out: {str(error).splitlines()[0][:100]}")
    convert(network, network_folder(key))
    for precision in ("fp32", "bf16"):
        run = run_converted(network_folder(key), precision)
        engines[f"OpenVINO {precision}"] = lambda batches, run=run: list(run(batches))
    return engines


def cosine(found: list, expected: list) -> float:
    a, b = (
        np.concatenate([one.reshape(-1, one.shape[-1]) for one in side]).astype(np.float64)
        for side in (found, expected)
    )
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--items", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of tracing
    with tempfile.TemporaryDirectory(prefix="mmlab-") as cache:
        os.environ["MMLAB_CACHE"] = cache
        from mmlab.course import read_course
        from mmlab.encoders import find_image_encoder, find_text_encoder
        from mmlab.images import read_pixels

        pairs = read_course(options.course).pairs.iloc[: options.items]
        text, image = find_text_encoder("minilm"), find_image_encoder("efficientnet_lite0")
        ids = sorted(text.tokenise(list(pairs.text)), key=len)
        pixels = np.stack([read_pixels(path, (288, 288)) for path in pairs.image])
        rows = []
        for side, encoder in (("images", image), ("texts", text)):
            network = encoder.network()
            engines, seconds, found = make_engines(network, side), {}, {}
            sizes = BATCHES[side]
            given = {
                size: [
                    (pixels[start : start + size],) if side == "images" else text._pad(ids[start : start + size])
                    for start in range(0, len(pairs), size)
                ]
                for size in sizes
            }
            for number in range(options.rounds + 1):
                for name, run in engines.items():
                    for size in sizes:
                        started = time.perf_counter()
                        found[name] = run(given[size])
                        if number:  # the first round is for warming up
                            seconds.setdefault((name, size), []).append(time.perf_counter() - started)
            plain = 0.0
            for name in engines:
                size = min(sizes, key=lambda size: statistics.median(seconds[name, size]))
                rates = [len(pairs) / one for one in seconds[name, size]]
                plain = plain or statistics.median(rates)  # torch fp32, the first
                row = {
                    "what": side, "engine": name, "batch": size, "unit": "per second",
                    "median": statistics.median(rates), "best": max(rates), "ratio": statistics.median(rates) / plain,
                    "cosine": cosine(found[name], found["torch fp32"]),
                }  # fmt: skip
                rows.append(row)
                print(
                    f"{side:<7} {name:<18} batch {size:>2}  median {row['median']:7.1f}/s  best {row['best']:7.1f}/s"
                    f"  cosine {row['cosine']:.5f}", flush=True,
                )  # fmt: skip
    write_result("engines", rows)


if __name__ == "__main__":
    main()
