"""Answers to the exercise `view`; see exercise_cases.py."""

RETURN = "return np.array(rows)"
LOOP = '    for path in pairs["image"]:\n'
WORDS = "import numpy as np\n\ndef my_view(pairs):\n    words = ('happy', 'love', 'joy', 'sad', 'angry', 'horrible')\n    return np.array([[text.lower().count(word) for word in words] for text in pairs['text']])\n"

MISTAKES = [
    ("shape", {RETURN: "return np.array(rows)[:-1]"}),
    ("shape", {RETURN: "return np.array(rows).mean()"}),
    ("shape", {RETURN: "return pairs['text']"}),
    ("not_finite", {RETURN: "return np.log(np.array(rows) * 0)"}),
    ("order", {LOOP: '    for path in pairs.sort_values("text")["image"]:\n'}),
    ("other_rows", {RETURN: "rows = np.array(rows)\n    return rows - rows.mean(axis=0)"}),
    ("other_rows", {RETURN: "return pairs['text'].str.len().rank().to_numpy()"}),
    ("other_rows", {RETURN: "return np.random.normal(size=(len(pairs), 3))"}),
    (
        "other_rows",
        {
            RETURN: "from sklearn.feature_extraction.text import CountVectorizer\n    return CountVectorizer(token_pattern=r'\\S+').fit_transform(pairs['text']).toarray()"
        },
    ),
    ("constant", {RETURN: "return np.array([[text.count('\\x00'), 1] for text in pairs['text']])"}),
    (
        "leak",
        {
            RETURN: """
    from pathlib import Path
    root = Path(pairs["image"][0]).parents[1]
    tags = dict(line.split(",") for line in (root / "train.txt").read_text().split())
    return np.array([[tags[Path(path).stem] == tag for tag in ("negative", "neutral")] for path in pairs["image"]])
"""
        },
    ),
    (
        "hurts",
        {
            RETURN: """
    import zlib
    return np.array([np.random.default_rng(zlib.crc32(text.encode())).normal(size=400) for text in pairs["text"]])
"""
        },
    ),
    (
        "not_better",
        {RETURN: "return [text.count('!') for text in pairs['text']]"},
    ),
    ("not_better", WORDS),
]

ALTERNATIVES = {
    "mean colour": {
        "rows.append([pixels.mean(), pixels.std(), colourful.mean(), *pixels.mean(axis=(0, 1))])": "rows.append(pixels.mean(axis=(0, 1)))"
    },
    "a table": {RETURN: "import pandas as pd\n    return pd.DataFrame(rows)"},
    "a list": {RETURN: "return rows"},
    "a torch tensor": {RETURN: "import torch\n    return torch.tensor(np.array(rows), dtype=torch.bfloat16)"},
    "one number, without a second axis": {RETURN: "return np.array([row[0] for row in rows])"},
    "squares as well": {RETURN: "rows = np.array(rows)\n    return np.hstack([rows, rows**2])"},
    "Pillow": """
import numpy as np
from PIL import Image, ImageStat

def my_view(pairs):
    def look(path):
        with Image.open(path) as image:
            image.draft("RGB", (64, 64))
            parts = ImageStat.Stat(image.convert("HSV"))
        return parts.mean + parts.stddev
    return np.stack([look(path) for path in pairs.image])
""",
    "small pictures": """
import numpy as np
from mmlab.images import read_pixels

def my_view(pairs):
    return np.array([read_pixels(path, (4, 4)).ravel() for path in pairs["image"]])
""",
    "a histogram of brightness": """
import numpy as np
from mmlab.images import read_pixels

def my_view(pairs):
    bounds = np.linspace(0, 256, 9)
    return pairs["image"].map(lambda path: np.histogram(read_pixels(path, (24, 24)).mean(axis=2), bounds)[0]).tolist()
""",
    "words and colours": """
import numpy as np
from mmlab.images import read_pixels

def my_view(pairs):
    rows = np.zeros((len(pairs), 7))
    for number, pair in pairs.iterrows():
        text = pair["text"].lower()
        rows[number, :4] = text.count("!"), text.count("#"), "happy" in text, "sad" in text
        rows[number, 4:] = read_pixels(pair["image"], (16, 16)).mean(axis=(0, 1))
    return rows
""",
    "thresholds": {
        RETURN: "rows = np.array(rows)\n    return np.stack([rows[:, 0] < 0.35, rows[:, 0] > 0.75, rows[:, 2] > 0.2], axis=1)"
    },
    "a sparse matrix": {RETURN: "from scipy.sparse import csr_matrix\n    return csr_matrix(np.array(rows))"},
}
