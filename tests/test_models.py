"""Operators by hand, and what must hold for every fusion: padding, missing sides, order of the batch, gradients."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from mmlab.config import SCENARIOS, RunConfig
from mmlab.errors import ConfigError
from mmlab.features import Batch, Features, Sequences
from mmlab.models import (
    FUSIONS,
    AttentionFusion,
    ConcatFusion,
    Dropout,
    Fusion,
    FusionModel,
    GatedFusion,
    LateFusion,
    Projected,
    Projection,
    Sides,
    list_parts,
    masked_mean,
    only_present,
    present_sides,
)

TEXT_WIDTH, IMAGE_WIDTH, TOKENS, PATCHES = 6, 10, 5, 4


def make_batch(pairs: int = 7, seed: int = 0) -> Batch:
    """Random pairs with texts of 1 to TOKENS tokens, nothing missing."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.arange(pairs) % TOKENS + 1
    return Batch(
        torch.randn(pairs, TOKENS, TEXT_WIDTH, generator=draw),
        torch.arange(TOKENS) < lengths[:, None],
        torch.randn(pairs, PATCHES, IMAGE_WIDTH, generator=draw),
        torch.ones(pairs, PATCHES, dtype=torch.bool),
    )


def make_model(fusion: str = "attention", seed: int = 0, **knobs) -> FusionModel:
    """A small model whose biases and special vectors are not zero, so that no path is silent at the start."""
    torch.manual_seed(seed)
    config = RunConfig(fusion=fusion, hidden=8, heads=2, dropout=0.1, **knobs)
    model = FusionModel(config, TEXT_WIDTH, IMAGE_WIDTH).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def answers(model, batch: Batch) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model(batch)


def hide(batch: Batch, text=(), image=()) -> Batch:
    """The batch in which the named rows have lost a side."""
    rows = torch.arange(len(batch))
    return batch.without(text=torch.isin(rows, torch.tensor(list(text), dtype=torch.long)),
                         image=torch.isin(rows, torch.tensor(list(image), dtype=torch.long)))  # fmt: skip


def assert_same(a: dict, b: dict, scenarios=SCENARIOS) -> None:
    for scenario in scenarios:
        torch.testing.assert_close(a[scenario], b[scenario], rtol=1e-5, atol=1e-6)


def moved(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether every pair's logits differ between two forwards."""
    return bool(((a - b).abs().amax(dim=1) > 1e-5).all())


# ------------------------------------------------------------------------------------------------- by hand


def test_masked_mean_by_hand():
    values = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [99.0, 99.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask).tolist() == [[2.0, 20.0], [0.0, 0.0]]


def test_present_sides_by_hand():
    batch = hide(make_batch(3), text=[0], image=[2])
    assert present_sides(batch).squeeze(-1).tolist() == [[False, True], [True, True], [True, False]]


def test_the_share_of_the_text_is_all_or_nothing_where_a_side_is_missing():
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False]]).unsqueeze(-1)
    share = only_present(torch.full((4, 2), 0.3), present)
    np.testing.assert_allclose(share.numpy(), [[0.3, 0.3], [1, 1], [0, 0], [1, 1]], rtol=1e-6)


def two_sides(text, image, has_text=True, has_image=True) -> Sides:
    present = torch.tensor([[[has_text], [has_image]]])
    return Sides(present, summaries=torch.tensor([[text, image]]) * present)


def gate_by_hand() -> GatedFusion:
    fusion = GatedFusion(2, 1, 0.0)
    with torch.no_grad():
        for layer in (fusion.text, fusion.image):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        fusion.gate.weight.zero_()
        fusion.gate.bias.copy_(torch.tensor([0.0, math.log(3)]))  # gates of 1/2 and 3/4
    return fusion


def test_the_gate_by_hand():
    mixed = gate_by_hand()(two_sides([1.0, 2.0], [-1.0, 0.5]))[0].tolist()
    assert mixed[0] == pytest.approx(0.0, abs=1e-6)  # 1/2 tanh(1) + 1/2 tanh(-1)
    assert mixed[1] == pytest.approx(0.75 * math.tanh(2.0) + 0.25 * math.tanh(0.5), rel=1e-5)


@pytest.mark.parametrize(("has_text", "has_image", "expected"), [(True, False, [1.0, 2.0]), (False, True, [-1.0, 0.5])])
def test_the_gate_takes_all_of_the_side_that_is_there(has_text, has_image, expected):
    mixed = gate_by_hand()(two_sides([1.0, 2.0], [-1.0, 0.5], has_text, has_image))
    np.testing.assert_allclose(mixed[0].detach().numpy(), np.tanh(expected), rtol=1e-5)


def test_concat_puts_its_learned_vector_where_a_side_is_missing():
    fusion = ConcatFusion(2, 1, 0.0)
    with torch.no_grad():
        fusion.missing.copy_(torch.tensor([[0.3, 0.4], [0.5, 0.6]]))
    fusion.mix = torch.nn.Identity()
    assert fusion(two_sides([1.0, 2.0], [3.0, 4.0])).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_allclose(
        fusion(two_sides([1.0, 2.0], [3.0, 4.0], has_text=False)).detach().numpy(), [[0.3, 0.4, 3.0, 4.0]], rtol=1e-6
    )
    np.testing.assert_allclose(
        fusion(two_sides([1.0, 2.0], [3.0, 4.0], has_image=False)).detach().numpy(), [[1.0, 2.0, 0.5, 0.6]], rtol=1e-6
    )


def attention_sides(pairs: int = 3, hidden: int = 4) -> Sides:
    torch.manual_seed(0)
    text_mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])[:pairs]
    image_mask = torch.ones(pairs, 2, dtype=torch.bool)
    text, image = torch.randn(pairs, 3, hidden), torch.randn(pairs, 2, hidden)
    present = torch.stack([text_mask.any(1), image_mask.any(1)], dim=1).unsqueeze(-1)
    summaries = torch.randn(pairs, 2, hidden) * present
    unchanged = torch.zeros(hidden), torch.ones(hidden), make_transparent(hidden, 0.0).linear
    text, image = Projected(text, text_mask, *unchanged), Projected(image, image_mask, *unchanged)
    return Sides(present, {}, summaries, text, image)


def test_attention_weighs_equal_keys_equally_and_padding_not_at_all():
    fusion = AttentionFusion(4, 2, 0.0)
    with torch.no_grad():
        for layer in (fusion.text_key, fusion.image_key):
            layer.weight.zero_()
            layer.bias.fill_(0.7)
    weights = fusion.weights(attention_sides())
    assert weights.shape == (3, 2, 5)
    expected = [[1 / 4, 1 / 4, 0, 1 / 4, 1 / 4], [1 / 3, 0, 0, 1 / 3, 1 / 3], [0, 0, 0, 1 / 2, 1 / 2]]
    for head in range(2):
        np.testing.assert_allclose(weights[:, head].detach().numpy(), expected, rtol=1e-6)


def test_attention_with_equal_keys_is_the_mean_of_the_values_that_are_there():
    fusion, sides = AttentionFusion(4, 2, 0.0), attention_sides()
    with torch.no_grad():
        for layer in (fusion.text_key, fusion.image_key):
            layer.weight.zero_()
            layer.bias.fill_(0.7)
        for layer in (fusion.text_value, fusion.image_value):
            layer.weight.copy_(torch.eye(4))
            layer.bias.zero_()
    fusion.mix = torch.nn.Identity()
    attended = fusion(sides)[:, 8:].detach()  # after the two summaries
    values = torch.cat([sides.text.vectors, sides.image.vectors], dim=1)
    mask = torch.cat([sides.text.mask, sides.image.mask], dim=1)
    torch.testing.assert_close(attended, masked_mean(values, mask))


def test_attention_scores_by_hand():
    """One head of width 4: the score of a key is its product with the query, over 2."""
    fusion, sides = AttentionFusion(4, 1, 0.0), attention_sides(1)
    weights = fusion.weights(sides)[0, 0]
    fusion.requires_grad_(False)
    query = fusion.query(sides.summaries.flatten(1))[0]
    text, image = sides.text.vectors[0], sides.image.vectors[0]
    keys = [fusion.text_key(text[i]) for i in range(2)] + [fusion.image_key(image[i]) for i in (0, 1)]
    scores = [math.exp(float(query @ key) / 2) for key in keys]
    expected = [scores[0], scores[1], 0, scores[2], scores[3]]
    np.testing.assert_allclose(weights.detach().numpy(), np.array(expected) / sum(scores), rtol=1e-5)


def test_each_modality_has_its_own_keys_and_values():
    sides = attention_sides()
    for layer in ("text_key", "text_value", "image_key", "image_value"):
        torch.manual_seed(0)
        fusion = AttentionFusion(4, 2, 0.0)
        before = fusion(sides)
        with torch.no_grad():
            getattr(fusion, layer).weight.mul_(2.0)
        assert not torch.allclose(before[0], fusion(sides)[0])
        if layer.startswith("text"):  # the last pair has no text
            torch.testing.assert_close(before[2], fusion(sides)[2])


def test_late_mixing_by_hand():
    fusion = LateFusion(2, 1, 0.0)
    with torch.no_grad():
        fusion.weight.fill_(math.log(3))  # a share of 3/4 for the text
    text = torch.tensor([[0.2, 0.3, 0.5]] * 3).log()
    image = torch.tensor([[0.6, 0.3, 0.1]] * 3).log()
    present = torch.tensor([[True, True], [True, False], [False, True]]).unsqueeze(-1)
    sides = Sides(present, {"text_only": text, "image_only": image})
    mixed = fusion(sides).softmax(dim=-1)
    np.testing.assert_allclose(mixed.detach().numpy(), [[0.3, 0.3, 0.4], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], rtol=1e-5)


def make_transparent(width: int, dropout: float) -> Projection:
    """A projection whose linear layer changes nothing, so that what comes before it can be seen."""
    projection = Projection(width, width, dropout)
    with torch.no_grad():
        projection.linear.weight.copy_(torch.eye(width))
        projection.linear.bias.zero_()
    return projection


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    torch.manual_seed(0)
    dropped = Dropout(share).train()(torch.ones(401, 501))
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / (1 - share), rel=1e-4)]
    assert (dropped == 0).float().mean() == pytest.approx(share, abs=0.005)  # 200,000 draws: deviation 0.001
    for axis in (0, 1):  # no row and no column is preferred, nor does one of the four numbers of a draw follow another
        assert (dropped == 0).float().mean(dim=axis).std() == pytest.approx((share * (1 - share) / 450) ** 0.5, rel=0.2)
    first, second = (dropped == 0).float().flatten()[:-1], (dropped == 0).float().flatten()[1:]
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.01
    assert torch.equal(Dropout(share).eval()(torch.ones(3, 3)), torch.ones(3, 3))


def test_dropout_repeats_itself_with_the_seed_of_torch():
    def draw(seed):
        torch.manual_seed(seed)
        return Dropout(0.5).train()(torch.ones(8, 9))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def make_projected() -> Projected:
    torch.manual_seed(0)
    projection = Projection(6, 4, 0.5).train()
    projection.standardise(torch.randn(50, 6) * 3 + 1)
    return projection.sequence(torch.randn(3, 5, 6), torch.arange(5) < torch.tensor([[5], [2], [1]]))


def test_scores_and_sums_are_those_of_the_projected_vectors():
    projected = make_projected()
    questions, weights = torch.randn(3, 2, 4), torch.rand(3, 2, 5) * projected.mask.unsqueeze(1)
    torch.testing.assert_close(projected.score(questions), questions @ projected.vectors.mT)
    torch.testing.assert_close(projected.mix(weights), weights @ projected.vectors)
    other = dataclasses.replace(projected, mean=projected.mean + 1)  # the twin: without the mean it is another number
    assert not torch.allclose(projected.score(questions), other.score(questions))
    assert not torch.allclose(projected.mix(weights), other.mix(weights))


def test_a_projection_drops_the_same_dimensions_of_all_vectors_of_a_pair():
    torch.manual_seed(0)
    projection = make_transparent(16, 0.5).train()
    dropped = projection(torch.randn(4, 3, 16)) == 0
    assert (dropped == dropped[:, :1]).all()
    assert 0.2 < dropped.float().mean() < 0.8
    assert (dropped[0] != dropped[1]).any()  # another draw for each pair


def test_a_projection_scales_what_it_keeps_and_keeps_all_in_use():
    projection = make_transparent(16, 0.75)
    vectors = torch.randn(200, 1, 16)
    whole, thinned = projection.eval()(vectors), projection.train()(vectors)
    kept = thinned != 0
    assert kept.float().mean() == pytest.approx(0.25, abs=0.03) and (whole != 0).all()
    torch.testing.assert_close(thinned[kept], 4 * whole[kept])


def test_a_projection_standardises_by_the_training_vectors():
    torch.manual_seed(0)
    projection = make_transparent(8, 0.0).eval()
    vectors = torch.randn(500, 8) * torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 20]) + torch.arange(8)
    before = projection(vectors.unsqueeze(1)).squeeze(1)
    assert (
        before.std(dim=0).max() > 3 * before.std(dim=0).min()
    )  # the twin: without it, one dimension drowns the others
    projection.standardise(vectors)
    after = projection(vectors.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(after.mean(dim=0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.std(dim=0, correction=0), torch.ones(8), atol=1e-4, rtol=0)
    assert set(projection.state_dict()) == {"mean", "scale", "linear.weight", "linear.bias"}  # kept with the weights


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_model_is_standardised_by_the_training_rows_alone(fusion):
    """Other vectors in rows that are not trained on change nothing; in rows that are, they do."""
    random = np.random.default_rng(0)

    def statistics(changed_row):
        sides = []
        for width in (TEXT_WIDTH, IMAGE_WIDTH):
            values = np.random.default_rng(1).standard_normal((12, width)).astype(np.float16)
            values[2 * changed_row : 2 * changed_row + 2] = random.standard_normal((2, width))
            sides.append(Sequences(values, np.arange(0, 13, 2)))
        model = make_model(fusion)
        model.standardise(Features([f"g{n}" for n in range(6)], *sides, "encoders"), np.arange(4))
        return {name: value for name, value in model.state_dict().items() if name.endswith(("mean", "scale"))}

    unseen, other, seen = statistics(4), statistics(5), statistics(0)
    assert len(unseen) == (4 if fusion == "late" else 8)
    for name, value in unseen.items():
        assert torch.equal(value, other[name]), name
        assert not torch.equal(value, seen[name]), name


# -------------------------------------------------------------------------------------- what every fusion keeps


@pytest.mark.parametrize("fusion", FUSIONS)
def test_padding_changes_nothing(fusion):
    model, batch = make_model(fusion), hide(make_batch(), text=[1], image=[2])
    garbage = torch.full((len(batch), 3, TEXT_WIDTH), 50.0).uniform_(-50, 50)
    padded = Batch(
        torch.cat([batch.text, garbage], 1),
        torch.cat([batch.text_mask, torch.zeros(len(batch), 3, dtype=torch.bool)], 1),
        torch.cat([batch.image, torch.full((len(batch), 2, IMAGE_WIDTH), -50.0)], 1),
        torch.cat([batch.image_mask, torch.zeros(len(batch), 2, dtype=torch.bool)], 1),
    )
    assert_same(answers(model, batch), answers(model, padded))
    # The twin: the same vectors not masked do change the joint answer.
    unmasked = Batch(padded.text, torch.ones_like(padded.text_mask), padded.image, padded.image_mask)
    assert not torch.allclose(answers(model, batch)["text_and_image"], answers(model, unmasked)["text_and_image"])


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("side", ["text", "image"])
def test_nothing_of_a_missing_side_reaches_an_answer(fusion, side):
    model, everyone = make_model(fusion), range(7)
    batch = make_batch()
    garbage = Batch(
        batch.text.flip(0) * 40 if side == "text" else batch.text, batch.text_mask,
        batch.image.flip(0) * 40 if side == "image" else batch.image, batch.image_mask,
    )  # fmt: skip
    gone = {side: everyone}
    assert_same(answers(model, hide(batch, **gone)), answers(model, hide(garbage, **gone)))
    # The twin: where the side is not hidden, the garbage is seen.
    assert not torch.allclose(answers(model, batch)["text_and_image"], answers(model, garbage)["text_and_image"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_side_gives_a_finite_answer_that_rests_on_the_other(fusion):
    model, batch = make_model(fusion), make_batch()
    for gone in ({"text": range(7)}, {"image": range(7)}):
        logits = answers(model, hide(batch, **gone))
        assert all(torch.isfinite(one).all() for one in logits.values())
        assert not torch.allclose(logits["text_and_image"][0], logits["text_and_image"][1])  # still reads the other
        assert moved(logits["text_and_image"], answers(model, batch)["text_and_image"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_pair_is_answered_alike_wherever_it_stands_in_whichever_batch(fusion):
    model, batch = make_model(fusion), hide(make_batch(), text=[3], image=[4])
    order = torch.tensor([4, 0, 6, 2, 3, 1, 5])

    def rows(chosen) -> Batch:
        return Batch(batch.text[chosen], batch.text_mask[chosen], batch.image[chosen], batch.image_mask[chosen])

    together = answers(model, batch)
    assert_same({s: logits[order] for s, logits in together.items()}, answers(model, rows(order)))
    for row in range(len(batch)):
        assert_same({s: logits[row : row + 1] for s, logits in together.items()}, answers(model, rows([row])))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_gradient_of_the_joint_answer_reaches_both_sides(fusion):
    model, batch = make_model(fusion), hide(make_batch(), text=[0], image=[1])  # the vectors for a missing side too
    model(batch)["text_and_image"].square().sum().backward()
    of_the_joint = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if fusion == "late" or not name.startswith(("text_head.", "image_head."))
    ]
    assert len(of_the_joint) > 4
    for name, parameter in of_the_joint:
        assert parameter.grad is not None, name
        if name in ("fusion.text_key.bias", "fusion.image_key.bias"):
            continue  # a shift of all of a query's scores cancels in the softmax where only one side is there
        assert parameter.grad.abs().sum() > 1e-9, name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_parameter_learns_from_the_loss_of_all_scenarios(fusion):
    model, batch = make_model(fusion), hide(make_batch(), text=[0], image=[1])
    sum(logits.square().sum() for logits in model(batch).values()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


# --------------------------------------------------------------------------------- is it really a fusion?


def assert_scenarios_keep_to_their_sides(model) -> None:
    """The first check of a fusion: each scenario moves with the sides it is named after, and with no other."""
    batch, other = make_batch(), make_batch(seed=1)
    plain = answers(model, batch)
    other_text = answers(model, Batch(other.text, batch.text_mask, batch.image, batch.image_mask))
    other_image = answers(model, Batch(batch.text, batch.text_mask, other.image, batch.image_mask))
    torch.testing.assert_close(plain["text_only"], other_image["text_only"], rtol=0, atol=0)
    torch.testing.assert_close(plain["image_only"], other_text["image_only"], rtol=0, atol=0)
    assert moved(plain["text_only"], other_text["text_only"])
    assert moved(plain["image_only"], other_image["image_only"])
    assert moved(plain["text_and_image"], other_text["text_and_image"]), "the joint answer ignores the text"
    assert moved(plain["text_and_image"], other_image["text_and_image"]), "the joint answer ignores the image"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_each_scenario_moves_with_its_own_sides_alone(fusion):
    assert_scenarios_keep_to_their_sides(make_model(fusion))


class ReturnsItsTextHead(torch.nn.Module):
    """The fault of the coursework: the fusion is computed, and the text head's logits are returned."""

    def __init__(self, model: FusionModel):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        logits = self.model(batch)
        return {**logits, "text_and_image": logits["text_only"]}


class PeeksAtTheImage(ReturnsItsTextHead):
    """A text head that sees the image."""

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        logits = self.model(batch)
        return {**logits, "text_only": logits["text_and_image"]}


def test_the_check_catches_a_fusion_that_returns_its_text_head():
    with pytest.raises(AssertionError, match="ignores the image"):
        assert_scenarios_keep_to_their_sides(ReturnsItsTextHead(make_model()))


def test_the_check_catches_a_text_head_that_sees_the_image():
    with pytest.raises(AssertionError, match="not equal"):
        assert_scenarios_keep_to_their_sides(PeeksAtTheImage(make_model()))


@pytest.mark.parametrize("fusion", ["attention", "transformer"])
def test_a_fusion_over_sequences_reads_the_patches_and_not_only_their_summary(fusion):
    model, batch = make_model(fusion), make_batch()
    other = batch.image.clone()
    other[:, 1:] = make_batch(seed=1).image[:, 1:]
    changed = answers(model, Batch(batch.text, batch.text_mask, other, batch.image_mask))
    assert moved(answers(model, batch)["text_and_image"], changed["text_and_image"])
    torch.testing.assert_close(answers(model, batch)["image_only"], changed["image_only"], rtol=0, atol=0)


# --------------------------------------------------------------------------------------------- one alone


@pytest.mark.parametrize("scenario", SCENARIOS[:2])
def test_a_model_of_one_modality_has_that_head_alone(scenario):
    model = make_model(scenario=scenario)
    assert list(answers(model, make_batch())) == [scenario]
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {scenario.replace("only", "head")}


def test_the_answers_come_in_the_order_of_the_scenarios():
    logits = answers(make_model("late"), make_batch())
    assert list(logits) == list(SCENARIOS)
    assert all(one.shape == (7, 3) for one in logits.values())


# -------------------------------------------------------------------------------- what is shown of a model


def test_the_gated_unit_from_the_models_own_layers():
    """What notebook 04 computes step by step is what the model returns."""
    model, batch = make_model("gated"), make_batch()
    sides = model.sides(batch)
    text, image = sides.summaries.unbind(dim=1)
    g = torch.sigmoid(model.fusion.gate(torch.cat([text, image], dim=1)))
    z = g * torch.tanh(model.fusion.text(text)) + (1 - g) * torch.tanh(model.fusion.image(image))
    torch.testing.assert_close(g, model.fusion.gates(sides), rtol=0, atol=0)
    torch.testing.assert_close(z, model.fusion(sides), rtol=0, atol=0)
    torch.testing.assert_close(model.joint_head(z), model(batch)["text_and_image"], rtol=0, atol=0)
    missing = model.sides(hide(batch, text=[0], image=[1]))
    assert (model.fusion.gates(missing)[0] == 0).all() and (model.fusion.gates(missing)[1] == 1).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_joint_answer_is_what_the_fusion_makes_of_the_sides(fusion):
    model, batch = make_model(fusion), make_batch()
    joint = model.joint_head(model.fusion(model.sides(batch)))
    torch.testing.assert_close(joint, model(batch)["text_and_image"], rtol=0, atol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_each_fusion_says_what_it_is(fusion):
    assert FUSIONS[fusion].formula and FUSIONS[fusion].summary and "\n" not in FUSIONS[fusion].summary


def trace(model: FusionModel, batch: Batch) -> dict[str, tuple[str, ...]]:
    """What feeds what, found by trying: whatever moves when a part's output is disturbed depends on it."""
    random = torch.Generator().manual_seed(0)

    def outputs(disturbed: str = "") -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}

        def noise(values):
            return values + torch.randn(values.shape, generator=random)

        def watch(name):
            def hook(module, arguments, output):
                seen[name] = output = noise(output) if name == disturbed else output
                return output

            return hook

        parts = [(name, part) for name, part in model.named_children() if not isinstance(part, torch.nn.Identity)]
        # A projection may put its linear layer off; what it is given is all that its norm makes of the vectors.
        watched = [(name, part.norm if name.endswith("projection") else part) for name, part in parts]
        hooks = [part.register_forward_hook(watch(name)) for name, part in watched]
        text, image = (noise(getattr(batch, s)) if s == disturbed else getattr(batch, s) for s in ("text", "image"))
        logits = answers(model, Batch(text, batch.text_mask, image, batch.image_mask))
        for hook in hooks:
            hook.remove()
        return {**seen, **{f"logits {scenario}": values for scenario, values in logits.items()}}

    usual = outputs()
    reaches = {name: set() if name.startswith("logits") else {
        other for other, moved in outputs(name).items() if other != name and not torch.equal(usual[other], moved)
    } for name in ("text", "image", *usual)}  # fmt: skip
    return {
        name: tuple(sorted(t for t in targets if not any(t in reaches[between] for between in targets - {t})))
        for name, targets in reaches.items()
    }


@pytest.mark.parametrize("knobs", [*({"fusion": name} for name in FUSIONS), {"scenario": "text_only"}])
def test_the_declared_parts_are_those_of_the_forward_pass(knobs):
    model, batch = make_model(**knobs), make_batch()
    nodes = {node.name: node for node in list_parts(model, TOKENS, PATCHES)}
    assert {name: node.feeds for name, node in nodes.items()} == trace(model, batch)
    assert sum(node.parameters for node in nodes.values()) == sum(p.numel() for p in model.parameters())
    logits = answers(model, batch)
    for scenario, values in logits.items():
        assert nodes[f"logits {scenario}"].shape[1:] == values.shape[1:]
    assert nodes["text"].shape == (1, TOKENS, TEXT_WIDTH)
    for side in ("text", "image"):
        if node := nodes.get(f"{side}_projection"):
            sides = model.sides(batch)
            made = getattr(sides, side).vectors if sides.text else sides.summaries[:, :1]
            assert node.shape[1:] == made.shape[1:] and node.kind == "Projection"


def test_the_comparison_of_parts_catches_a_model_that_ignores_its_fusion():
    model = ReturnsItsTextHead(make_model("gated"))
    declared = {node.name: node.feeds for node in list_parts(model.model, TOKENS, PATCHES)}
    inner = model.model
    inner.forward = lambda batch: {
        **FusionModel.forward(inner, batch),
        "text_and_image": inner.answer_alone(batch)["text_only"],
    }
    assert trace(inner, make_batch()) != declared


# -------------------------------------------------------------------------------- one more is one class


@pytest.fixture
def product(monkeypatch):
    """A fusion of our own, found by name as long as the test runs."""
    known = dict(FUSIONS)

    class Product(Fusion, name="product"):
        """Both summaries, multiplied."""

        formula = r"z = W (t \odot v)"
        summary = "both summaries, multiplied"

        def __init__(self, hidden, heads, dropout):
            super().__init__()
            self.mix = torch.nn.Linear(hidden, hidden)

        def forward(self, sides):
            return self.mix(torch.where(sides.present, sides.summaries, 1.0).prod(dim=1))

    yield Product
    FUSIONS.clear()
    FUSIONS.update(known)


def test_a_fusion_of_our_own_is_a_fusion_like_the_others(product):
    model = make_model("product")
    assert_scenarios_keep_to_their_sides(model)
    nodes = {node.name: node for node in list_parts(model, TOKENS, PATCHES)}
    assert nodes["fusion"].kind == "Product" and nodes["fusion"].feeds == ("joint_head",)


def test_a_run_is_trained_with_a_fusion_of_our_own(product, tmp_path):
    from test_training import QUICK, make_data

    from mmlab.runs import run_folder, train_run

    course, features = make_data(120, "both")
    config = QUICK.replace(fusion="product", epochs=2, folds=2)
    run = train_run(config, course, features, tmp_path)
    assert run.id.startswith("text_and_image-product-") and len(run.predictions) == 120
    assert run.folder == run_folder(config, course, features, tmp_path)
    with pytest.raises(ConfigError, match="products"):  # the twin: a name that no class has
        QUICK.replace(fusion="products")
