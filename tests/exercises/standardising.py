"""Answers to the exercise `standardising`; see exercise_cases.py."""

TRAIN = "train = vectors[train_rows]\n"
DEVIATION = "deviation = np.maximum(train.std(axis=0), 1e-6)  # where nothing varies, we would divide by 0\n"
RETURN = "return (vectors - train.mean(axis=0)) / deviation"


def write_body(body: str, imports: str = "import numpy as np") -> str:
    """A whole answer from the lines of its function."""
    lines = body.strip().replace("\n", "\n    ")
    return f"{imports}\n\n\ndef standardise(vectors, train_rows):\n    {lines}\n"


MISTAKES = [
    ("shape", {RETURN: "return (train - train.mean(axis=0)) / deviation"}),
    ("shape", {RETURN: "return np.delete((vectors - train.mean(axis=0)) / deviation, train_rows, axis=0)"}),
    ("changes_input", {RETURN: "vectors -= train.mean(axis=0)\n    vectors /= deviation\n    return vectors"}),
    (
        "changes_input",
        {
            RETURN: "vectors[train_rows] = train + 1\n    "
            + "return (vectors - train.mean(axis=0) - np.isin(np.arange(len(vectors)), train_rows)[:, None]) / deviation"
        },
    ),
    ("not_finite", {"np.maximum(train.std(axis=0), 1e-6)": "train.std(axis=0)"}),
    (
        "per_row",
        {RETURN: "return (vectors - vectors.mean(axis=1, keepdims=True)) / vectors.std(axis=1, keepdims=True)"},
    ),
    (
        "out_of_order",
        {
            RETURN: "others = np.setdiff1d(np.arange(len(vectors)), train_rows)\n"
            "    return (np.concatenate([train, vectors[others]]) - train.mean(axis=0)) / deviation"
        },
    ),
    (
        "out_of_order",
        {RETURN: "scaled = (vectors - train.mean(axis=0)) / deviation\n    return np.sort(scaled, axis=0)"},
    ),
    ("all_rows", {TRAIN: "train = vectors\n"}),
    ("one_for_all", {"train.std(axis=0)": "train.std()", "train.mean(axis=0)": "train.mean()"}),
    (
        "one_for_all",
        {TRAIN: "train = vectors\n", "train.std(axis=0)": "train.std()", "train.mean(axis=0)": "train.mean()"},
    ),
    ("one_for_all", {"train.std(axis=0)": "train.std()"}),
    ("not_centred", {"vectors - train.mean(axis=0)": "vectors"}),
    ("not_centred", {TRAIN: "train = vectors[: len(train_rows)]\n"}),
    ("not_centred", {TRAIN: "train = np.delete(vectors, train_rows, axis=0)\n"}),
    ("not_centred", {RETURN: "return vectors / deviation - train.mean(axis=0)"}),
    ("not_scaled", {"train.std(axis=0)": "train.var(axis=0)"}),
    ("not_scaled", {RETURN: "return vectors - train.mean(axis=0)"}),
    ("not_scaled", {"train.std(axis=0)": "vectors.std(axis=0)"}),
    ("not_scaled", {") / deviation": ") * deviation"}),
    (
        "others_differ",
        {
            RETURN: "others = np.setdiff1d(np.arange(len(vectors)), train_rows)\n"
            "    result = (vectors - train.mean(axis=0)) / deviation\n"
            "    rest = vectors[others]\n"
            "    result[others] = (rest - rest.mean(axis=0)) / np.maximum(rest.std(axis=0), 1e-6)\n"
            "    return result"
        },
    ),
    (
        "others_differ",
        {
            RETURN: "result = vectors.copy()\n"
            "    result[train_rows] = (train - train.mean(axis=0)) / deviation\n"
            "    return result"
        },
    ),
]

ALTERNATIVES = {
    "divides_by_n_minus_1": {"train.std(axis=0)": "train.std(axis=0, ddof=1)"},
    "where_nothing_varies_1": write_body(
        "mean, deviation = vectors[train_rows].mean(axis=0), vectors[train_rows].std(axis=0)\n"
        "deviation[deviation < 1e-8] = 1\n"
        "return (vectors - mean) / deviation"
    ),
    "a_small_number_added": write_body(
        "mean = vectors[train_rows].mean(axis=0)\nreturn (vectors - mean) / (vectors[train_rows].std(axis=0) + 1e-5)"
    ),
    "sklearn": write_body(
        "return StandardScaler().fit(vectors[train_rows]).transform(vectors)",
        "from sklearn.preprocessing import StandardScaler",
    ),
    "pandas": write_body(
        "frame = pd.DataFrame(vectors)\n"
        "train = frame.iloc[train_rows]\n"
        "return (frame - train.mean()) / train.std().replace(0, 1)",
        "import pandas as pd",
    ),
    "torch": write_body(
        "every = torch.from_numpy(vectors)\n"
        "mean, deviation = every[train_rows].mean(dim=0), every[train_rows].std(dim=0)\n"
        "return (every - mean) / deviation.clamp(min=1e-4)",
        "import torch",
    ),
    "column_by_column": write_body(
        "result = np.empty_like(vectors)\n"
        "for column in range(vectors.shape[1]):\n"
        "    known = [vectors[row, column] for row in train_rows]\n"
        "    mean = sum(known) / len(known)\n"
        "    spread = (sum((one - mean) ** 2 for one in known) / len(known)) ** 0.5\n"
        "    result[:, column] = (vectors[:, column] - mean) / (spread or 1)\n"
        "return result"
    ),
    "plain_lists": write_body(
        "columns = list(zip(*vectors.tolist()))\n"
        "scaled = []\n"
        "for column in columns:\n"
        "    known = [column[row] for row in train_rows]\n"
        "    mean, deviation = statistics.fmean(known), statistics.pstdev(known)\n"
        "    scaled.append([(one - mean) / max(deviation, 1e-3) for one in column])\n"
        "return [list(row) for row in zip(*scaled)]",
        "import statistics",
    ),
    "mask_of_rows": write_body(
        "inside = np.zeros(len(vectors), dtype=bool)\n"
        "inside[train_rows] = True\n"
        "mean = np.average(vectors, axis=0, weights=inside)\n"
        "variance = np.average((vectors - mean) ** 2, axis=0, weights=inside)\n"
        "return (vectors - mean) / np.sqrt(variance + 1e-8)"
    ),
    "mean_of_squares": write_body(
        "train = vectors[train_rows].astype(np.float64)\n"
        "mean = train.mean(axis=0)\n"
        "deviation = np.sqrt(np.clip((train**2).mean(axis=0) - mean**2, 1e-6, None))\n"
        "return ((vectors - mean) / deviation).astype(np.float32)"
    ),
    "in_place_on_a_copy": write_body(
        "result = vectors.copy()\n"
        "result -= vectors[train_rows].mean(axis=0)\n"
        "result /= np.where(vectors[train_rows].std(axis=0) > 0, vectors[train_rows].std(axis=0), 1)\n"
        "return result"
    ),
    "constant_dimension_to_zero": write_body(
        "train = vectors[train_rows]\n"
        "deviation = train.std(axis=0)\n"
        "result = np.zeros_like(vectors)\n"
        "np.divide(vectors - train.mean(axis=0), deviation, out=result, where=np.broadcast_to(deviation > 0, vectors.shape))\n"
        "return result"
    ),
    "einsum": write_body(
        "train = np.take(vectors, train_rows, axis=0)\n"
        "centred = vectors - np.ones(len(train)) @ train / len(train)\n"
        'variance = np.einsum("nd,nd->d", centred[train_rows], centred[train_rows]) / len(train)\n'
        "return centred / np.sqrt(np.maximum(variance, 1e-9))"
    ),
}
