"""Encoding against the plain way, in one process and in turns: python benchmarks/encode.py [COURSE] [--pairs 512]

The plain way is what a first version would do: Pillow and timm's transform, one image after another, torch in float32
with channels last; texts in the order of the course, padded to the longest of their batch, in float32. The lab's way is
`encode` of the two default encoders. Neither has anything cached; the networks are loaded before the clock starts.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from results import write_result

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"


def make_plain(text, image):
    """Two functions, texts -> vectors and paths -> vectors, as a first version would write them."""
    import timm
    import torch
    from PIL import Image

    from mmlab.encoders import MAX_TOKENS
    from mmlab.readout import pool_patches, read_tokens

    tokenizer, language_model = text.load()
    settings, network = image.load()
    transform = timm.data.create_transform(**settings, is_training=False)
    language_model.eval()
    network.eval()

    def batches(items, size):
        return (items[start : start + size] for start in range(0, len(items), size))

    def read_texts(texts):
        found = []
        for some in batches(texts, 32):
            inputs = tokenizer(some, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                hidden = read_tokens(
                    language_model, input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
                ).numpy()
            found += [row[:n] for row, n in zip(hidden, inputs.attention_mask.sum(dim=1).tolist())]
        return found

    def read_images(paths):
        found = []
        for some in batches(paths, 32):
            images = torch.stack([transform(Image.open(path).convert("RGB")) for path in some])
            with torch.inference_mode():
                found += list(pool_patches(network, images.to(memory_format=torch.channels_last)).numpy())
        return found

    return read_texts, read_images


def cosine(found, expected) -> float:
    """Mean cosine of the vectors of two encodings."""
    a, b = (np.concatenate(one).astype(np.float64) for one in (found, expected))
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmlab-") as cache:
        os.environ["MMLAB_CACHE"] = cache
        from mmlab.course import read_course
        from mmlab.encoders import find_image_encoder, find_text_encoder

        pairs = read_course(options.course).pairs.iloc[: options.pairs]
        texts, paths = list(pairs.text), [str(path) for path in pairs.image]
        text, image = find_text_encoder("minilm"), find_image_encoder("efficientnet_lite0")
        plain = make_plain(text, image)
        ways = {"plain": plain, "mmlab": (text.encode, image.encode)}
        seconds = {(way, side): [] for way in ways for side in ("texts", "images")}
        for read_texts, read_images in ways.values():  # load, convert and compile: not what is compared
            read_texts(texts[:64]), read_images(paths[:32])
        for _ in range(options.rounds):
            found = {}
            for way, (read_texts, read_images) in ways.items():
                for side, read, items in (("texts", read_texts, texts), ("images", read_images, paths)):
                    started = time.perf_counter()
                    found[way, side] = read(items)
                    seconds[way, side].append(time.perf_counter() - started)
    middle = {key: statistics.median(values) for key, values in seconds.items()}
    rows = [
        {"what": side, "before": len(pairs) / middle["plain", side], "after": len(pairs) / middle["mmlab", side]}
        for side in ("texts", "images")
    ]
    whole = {way: len(pairs) / sum(middle[way, side] for side in ("texts", "images")) for way in ways}
    rows.append({"what": "pairs", "before": whole["plain"], "after": whole["mmlab"]})
    for row in rows:
        row["unit"], times = "per second", row["after"] / row["before"]
        if row["what"] != "pairs":
            row["cosine"] = cosine(found["mmlab", row["what"]], found["plain", row["what"]])
        print(
            f"{row['what']:<7} plain {row['before']:7.1f}/s   mmlab {row['after']:7.1f}/s   {times:.1f} times",
            f"  mean cosine {row['cosine']:.5f}" if "cosine" in row else "",
        )
    print(f"{len(pairs)} pairs, median of {options.rounds} rounds in turns")
    write_result("encode", [row | {"what": f"{row['what']} of {options.course.resolve().name}"} for row in rows])


if __name__ == "__main__":
    main()
