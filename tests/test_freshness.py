"""What decides a number is noticed, and nothing else is."""

import ast
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from mmlab import freshness
from mmlab.freshness import code_digest, digest_of, place_of, reached_code

TEXT, IMAGE, RUN = "mmlab.encoders:MiniLM", "mmlab.encoders:EfficientNetLite0", "mmlab.training:cross_fit"
GATED = "mmlab.models:GatedFusion"


@pytest.fixture
def package(tmp_path) -> Path:
    copy = tmp_path / "mmlab"
    shutil.copytree(freshness.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def digest(package: Path, *roots: str) -> str:
    for cached in [one for one in vars(freshness).values() if hasattr(one, "cache_clear")]:
        cached.cache_clear()
    places = tuple(freshness._resolve(*root.split(":"), package) for root in roots)
    return digest_of(sorted(freshness._digests(places, package)))


def find(package: Path, text: str) -> Path:
    """The only file of the package that holds a text, wherever it lies."""
    files = [file for file in package.rglob("*.py") if text in file.read_text(encoding="utf-8")]
    assert len(files) == 1, (text, files)
    return files[0]


def edit(package: Path, old: str, new: str) -> None:
    file = find(package, old)
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


CHANGES = {
    "a constant of pooling": ("PATCH_GRID = 3", "PATCH_GRID = 4", (IMAGE, RUN)),
    "an operator of pooling": ("patches.float()], dim=1)", "patches.float() * 0], dim=1)", (IMAGE, RUN)),
    "the depth of tokens": ("MIDDLE_DEPTH = 2 / 3", "MIDDLE_DEPTH = 1 / 3", (TEXT, RUN)),
    "the length of texts": ("MAX_TOKENS = 64", "MAX_TOKENS = 32", (TEXT, RUN)),
    "the size of images": ("side = 288", "side = 224", (IMAGE,)),  # a run has it through the digest of its features
    "the formats of images": ('"BMP", "TIFF")', '"BMP")', (IMAGE, RUN)),
    "splitting": ("kind=\"stable\")]\n    preference", "kind=\"stable\")][::-1]\n    preference", (RUN,)),
    "the loss": ("label_smoothing=smoothing)", "label_smoothing=0 * smoothing)", (RUN,)),
    "the schedule": ("0.5 * (1 + math.cos(", "0.6 * (1 + math.cos(", (RUN,)),
}  # fmt: skip


FUSION_CHANGES = {
    "the formula of the gate": ("torch.sigmoid(self.gate(", "torch.tanh(self.gate(", True),
    "how a missing side is treated": (
        "torch.where(has_text, text_share, 0.0)",
        "torch.where(has_text, text_share, 0.1)",
        True,
    ),
    "the formula in the report": (r'formula = r"z = g \odot', r'formula = r"h = g \odot', False),
    "another fusion": ("self.mix(torch.where(sides.present", "self.mix(2 * torch.where(sides.present", False),
}


@pytest.mark.parametrize("name", FUSION_CHANGES)
def test_a_run_notices_a_change_of_its_own_fusion_alone(package, name):
    old, new, noticed = FUSION_CHANGES[name]
    before, of_training = digest(package, RUN, GATED), digest(package, RUN)
    edit(package, old, new)
    assert (digest(package, RUN, GATED) != before) == noticed
    assert digest(package, RUN) == of_training  # which fusion it is, the training does not know


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_constant_or_operator_is_noticed(package, name):
    old, new, roots = CHANGES[name]
    before = {root: digest(package, root) for root in (TEXT, IMAGE, RUN)}
    edit(package, old, new)
    changed = {root for root in before if digest(package, root) != before[root]}
    assert changed == set(roots)


def test_comments_docstrings_layout_and_messages_are_not_noticed(package):
    before = {root: digest(package, root) for root in (TEXT, IMAGE, RUN)}
    for file in package.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        head, quote, rest = source.partition('"""')
        source = f"# another comment\n\n\n{head}{quote}Another word. {rest}"
        file.write_text(source.replace("\n    return ", "\n\n    # a remark\n    return  "), encoding="utf-8")
    edit(package, '"""Mean of the vectors at True', '"""The mean of the vectors at True')
    edit(package, "is too high. Lower it.", "is too large. Lower it.")
    assert {root: digest(package, root) for root in before} == before


def test_a_definition_in_another_file_is_the_same_code(package):
    before = digest(package, IMAGE)
    text = "def match_by_order("
    file = find(package, text)
    source = file.read_text(encoding="utf-8")
    start = source.index(text)
    end = source.index("\n\n\n", start)
    (package / "matching.py").write_text("from mmlab.errors import EncoderError\n\n\n" + source[start:end] + "\n")
    moved = source[:start] + source[end + 3 :]
    imported = "from mmlab.matching import match_by_order\nfrom mmlab.errors import EncoderError"
    file.write_text(moved.replace("from mmlab.errors import EncoderError", imported, 1))
    assert digest(package, IMAGE) == before


def test_code_that_a_root_does_not_reach_does_not_count(package):
    before = digest(package, RUN)
    file = find(package, "def plot_confusion(")
    file.write_text("def plot_confusion(scores, title='', ax=None):\n    return None\n")
    edit(package, "LEAST_FREE = 1.0", "LEAST_FREE = 2.0")
    assert digest(package, RUN) == before


def test_a_function_of_ours_is_found_by_itself_by_its_place_and_behind_a_partial():
    from mmlab.evaluation import tfidf_baseline

    place = place_of(tfidf_baseline)
    assert place.startswith("mmlab.evaluation") and place.endswith(":tfidf_baseline")
    assert code_digest(tfidf_baseline) == code_digest(place) == code_digest(partial(tfidf_baseline, seed=1))
    assert any(one.endswith(":tfidf_predictions") for one in reached_code(place))


def test_a_function_from_elsewhere_counts_with_its_source():
    def one():
        """A docstring."""
        return 1

    def two():
        return 2

    assert code_digest(one) != code_digest(two)
    assert "return 1" in place_of(one)


def test_a_place_that_is_gone_is_an_error():
    with pytest.raises(LookupError, match="defines no cross_fitt"):
        code_digest("mmlab.training:cross_fitt")


def test_a_traceback_in_a_notebook_does_not_send_it_in_circles(package):
    """What IPython shows of an error leaves a `parent` in nodes that all trees of the process share."""
    before = digest(package, RUN)
    tree = ast.parse("name")
    shared = tree.body[0].value.ctx
    assert shared is ast.parse("other").body[0].value.ctx
    try:
        shared.parent = tree.body[0].value
        assert sum(1 for _ in islice(freshness._walk(ast.parse("other")), 100)) == 4
        assert digest(package, RUN) == before
    finally:
        del shared.parent
