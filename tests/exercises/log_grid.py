"""Answers to the exercise `log_grid`; see exercise_cases.py."""

RETURN = "return np.exp(np.linspace(np.log(low), np.log(high), count))"


def write_body(body: str, imports: str = "import numpy as np") -> str:
    """A whole answer from the lines of its function."""
    lines = body.strip().replace("\n", "\n    ")
    return f"{imports}\n\n\ndef space_rates(low, high, count):\n    {lines}\n"


MISTAKES = [
    ("wrong_count", {"np.log(high), count)": "np.log(high), count + 1)"}),
    ("wrong_count", {RETURN: "return low * 10 ** np.arange(count - 1)"}),
    ("wrong_count", {RETURN: "return [np.exp(np.linspace(np.log(low), np.log(high), count))]"}),
    ("not_positive", {RETURN: "return np.linspace(np.log10(low), np.log10(high), count)"}),
    ("not_positive", {RETURN: "return np.logspace(np.log10(low), np.log10(high), count) - low"}),
    ("not_positive", {RETURN: "return np.full(count, np.nan)"}),
    ("wrong_order", {"np.log(low), np.log(high)": "np.log(high), np.log(low)"}),
    ("wrong_order", {RETURN: "return [low] * (count - 1) + [high]"}),
    ("ends_missing", {"np.log(high), count)": "np.log(high), count, endpoint=False)"}),
    ("ends_missing", {RETURN: "return np.logspace(low, high, count)"}),
    ("ends_missing", {RETURN: "return np.exp(np.linspace(np.log(low), np.log(high), count + 2))[1:-1]"}),
    ("ends_missing", {RETURN: "return [low * 10**step for step in range(1, count + 1)]"}),
    ("linear", {RETURN: "return np.linspace(low, high, count)"}),
    ("linear", {RETURN: "return [low + step * (high - low) / (count - 1) for step in range(count)]"}),
    ("unequal_ratios", {RETURN: "return np.linspace(low**0.5, high**0.5, count) ** 2"}),
    ("unequal_ratios", {RETURN: "return [low, *(high / 3**step for step in range(count - 2, -1, -1))]"}),
]

ALTERNATIVES = {
    "geomspace": write_body("return np.geomspace(low, high, count)"),
    "logspace": write_body("return np.logspace(np.log10(low), np.log10(high), num=count)"),
    "powers_of_two": write_body("return (2 ** np.linspace(np.log2(low), np.log2(high), count)).tolist()"),
    "ratio_in_a_comprehension": write_body(
        "ratio = (high / low) ** (1 / (count - 1))\nreturn [low * ratio**step for step in range(count)]", ""
    ),
    "one_after_the_other": write_body(
        "rates = [low]\n"
        "while len(rates) < count:\n"
        "    rates.append(rates[-1] * math.pow(high / low, 1 / (count - 1)))\n"
        "return rates",
        "import math",
    ),
    "weighted_products": write_body(
        "steps = [step / (count - 1) for step in range(count)]\nreturn tuple(low ** (1 - t) * high**t for t in steps)",
        "",
    ),
    "cumulative_product": write_body(
        "factors = np.full(count, (high / low) ** (1 / (count - 1)))\nfactors[0] = low\nreturn np.cumprod(factors)"
    ),
    "accumulate": write_body(
        "ratio = (high / low) ** (1 / (count - 1))\n"
        "return list(itertools.accumulate(range(count - 1), lambda rate, _: rate * ratio, initial=low))",
        "import itertools",
    ),
    "torch": write_body(
        "return torch.logspace(math.log10(low), math.log10(high), count)", "import math\n\nimport torch"
    ),
    "pandas": write_body(
        "ends = pd.Series([math.log(low), math.log(high)], index=[0, count - 1])\n"
        "return ends.reindex(range(count)).interpolate().map(math.exp)",
        "import math\n\nimport pandas as pd",
    ),
    "halving_by_geometric_means": write_body(
        "places = np.interp(np.arange(count), [0, count - 1], np.log10([low, high]))\nreturn np.power(10, places)"
    ),
    "float32": write_body("return np.geomspace(low, high, count).astype(np.float32)"),
    "decimal": write_body(
        "first, last = Decimal(low).ln(), Decimal(high).ln()\n"
        "return [float((first + (last - first) * step / (count - 1)).exp()) for step in range(count)]",
        "from decimal import Decimal",
    ),
    "from_both_ends": write_body(
        "ratio = (high / low) ** (1 / (count - 1))\n"
        "half = count // 2\n"
        "up = [low * ratio**step for step in range(half)]\n"
        "down = [high / ratio**step for step in range(count - half)]\n"
        "return up + down[::-1]",
        "",
    ),
}
