"""Answers to the exercise `ablations`; see exercise_cases.py."""

ALIGNED = "(predict(model, sides).reindex(labels.index) == labels).mean()"
WITHOUT = 'whole - accuracy(train(("text",)), "text")'
AWAY = 'whole - accuracy(joint, "text")'

MISTAKES = [
    ("names", {'"taken_away"': '"masked"'}),
    ("names", {"    return {": "    return 0.2, 0.3\n    return {"}),
    ("rows_mixed", {ALIGNED: "(predict(model, sides).to_numpy() == labels.to_numpy()).mean()"}),
    ("rows_mixed", {ALIGNED: "sum(a == b for a, b in zip(predict(model, sides), labels)) / len(labels)"}),
    ("percent", {ALIGNED: "100 * " + ALIGNED}),
    ("accuracy", {WITHOUT: 'accuracy(train(("text",)), "text")', AWAY: 'accuracy(joint, "text")'}),
    ("sign", {WITHOUT: 'accuracy(train(("text",)), "text") - whole', AWAY: 'accuracy(joint, "text") - whole'}),
    ("sign", {AWAY: 'accuracy(joint, "text") - whole'}),
    ("exchanged", {'"trained_without"': "'taken_away'", '"taken_away"': '"trained_without"'}),
    ("wrong_side", {WITHOUT: 'whole - accuracy(train(("image",)), "image")', AWAY: 'whole - accuracy(joint, "image")'}),
    (
        "majority",
        {
            'whole = accuracy(joint, "text", "image")': "whole = labels.value_counts(normalize=True).max()",
            WITHOUT: 'accuracy(train(("text",)), "text") - whole',
            AWAY: 'accuracy(joint, "text") - whole',
        },
    ),
    ("not_retrained", {WITHOUT: AWAY}),
    ("not_masked", {AWAY: 'whole - accuracy(train(("text",)), "text")'}),
    ("not_masked", {AWAY: 'whole - accuracy(joint, "text", "image")'}),
    ("off", {AWAY: '1 - accuracy(joint, "text")'}),
    ("joint_twice", {AWAY: 'whole - accuracy(train(("text", "image")), "text")'}),
]

ALTERNATIVES = {
    "aligned by eq": {ALIGNED: "predict(model, sides).eq(labels).mean()"},
    "aligned by loc": {ALIGNED: "(predict(model, sides).loc[labels.index].to_numpy() == labels.to_numpy()).mean()"},
    "both sorted": {ALIGNED: "(predict(model, sides).sort_index() == labels.sort_index()).mean()"},
    "joined in a frame": """
import pandas as pd

def ablate_image(train, predict, labels):
    joint, text = train(("text", "image")), train(("text",))
    frame = pd.DataFrame({
        "label": labels,
        "whole": predict(joint, ("text", "image")),
        "masked": predict(joint, ("text",)),
        "alone": predict(text, ("text",)),
    })
    right = frame.drop(columns="label").eq(frame["label"], axis=0).mean()
    return {"trained_without": right["whole"] - right["alone"], "taken_away": right["whole"] - right["masked"]}
""",
    "b minus c": """
def ablate_image(train, predict, labels):
    def right(model, sides):
        return predict(model, sides)[labels.index] == labels
    joint = train(("text", "image"))
    whole = right(joint, ("text", "image"))
    costs = {}
    for name, other in (("trained_without", train(("text",))), ("taken_away", joint)):
        rest = right(other, ("text",))
        costs[name] = ((whole & ~rest).sum() - (rest & ~whole).sum()) / len(labels)
    return costs
""",
    "loops over dicts": """
def ablate_image(train, predict, labels):
    truth = labels.to_dict()
    def accuracy(said):
        return sum(said[guid] == label for guid, label in truth.items()) / len(truth)
    full = train(["image", "text"])
    blind = train(["text"])
    top = accuracy(predict(full, ["image", "text"]).to_dict())
    return dict(
        taken_away=top - accuracy(predict(full, ["text"]).to_dict()),
        trained_without=top - accuracy(predict(blind, ["text"]).to_dict()),
    )
""",
    "errors instead of accuracy": {ALIGNED: "1 - (predict(model, sides).reindex(labels.index) != labels).mean()"},
    "sides as a set": {'train(("text", "image"))': 'train({"text", "image"})', 'train(("text",))': 'train({"text"})'},
    "a Series of costs": {"    return {": "    import pandas as pd\n    return pd.Series({", "    }\n": "    })\n"},
    "merged on guid": {
        ALIGNED: 'labels.rename("label").rename_axis("guid").reset_index().merge('
        'predict(model, sides).rename("said").rename_axis("guid").reset_index(), on="guid").eval("label == said").mean()'
    },
    "numpy indexer": {
        ALIGNED: "(predict(model, sides).to_numpy()[predict(model, sides).index.get_indexer(labels.index)] == labels.to_numpy()).mean()"
    },
    "scikit-learn": {
        ALIGNED: "__import__('sklearn.metrics').metrics.accuracy_score(labels, predict(model, sides).reindex(labels.index))"
    },
    "the model asked with both, though trained on text": {
        WITHOUT: 'whole - accuracy(train(("text",)), "text", "image")'
    },
    "float32": {ALIGNED: "__import__('numpy').float32((predict(model, sides).reindex(labels.index) == labels).mean())"},
    "torch": {
        ALIGNED: "__import__('torch').tensor((predict(model, sides).reindex(labels.index) == labels).to_numpy()).float().mean()"
    },
    "the text model trained first, and names as text": """
def ablate_image(train, predict, labels):
    text_model = train("text")
    joint_model = train(("text", "image"))
    scores = {}
    for name, model, sides in [("without", text_model, "text"), ("masked", joint_model, "text"), ("joint", joint_model, ("text", "image"))]:
        said = predict(model, sides)
        scores[name] = labels.index.map(said).to_numpy() == labels.to_numpy()
    return {"trained_without": (scores["joint"].astype(int) - scores["without"]).mean(), "taken_away": (scores["joint"].astype(int) - scores["masked"]).mean()}
""",
}
