"""Answers to the exercise `conclusion`; see exercise_cases.py."""

FLOOR = "if max(a.low, b.low) <= majority:"
A_WINS, B_WINS = "if difference.low > 0:", "if difference.high < 0:"
NEITHER = f'    {FLOOR}\n        return "neither beats the majority"\n'

MISTAKES = [
    ("sentence", {'return "a is better"': "return True"}),
    ("sentence", {'return "a is better"': 'return "model a is better"'}),
    ("sentence", {'    return "cannot be told apart"\n': "    return 0\n"}),
    ("reversed", {A_WINS: "if -difference.high > 0:", B_WINS: "if -difference.low < 0:"}),
    ("one_winner", {B_WINS: "if difference.low < difference.high < difference.low:"}),
    ("one_winner", {A_WINS: "if difference.low > 0 and difference.high < 0:", B_WINS: "if False:"}),
    ("zero_inside", {A_WINS: "if difference.value > 0:", B_WINS: "if difference.value < 0:"}),
    ("zero_inside", {A_WINS: "if a.value > b.value:", B_WINS: "if b.value > a.value:"}),
    ("zero_inside", {A_WINS: "if difference.value >= 0.02:", B_WINS: "if difference.value <= -0.02:"}),
    ("zero_at_the_edge", {A_WINS: "if difference.low >= 0:", B_WINS: "if difference.high <= 0:"}),
    ("zero_at_the_edge", {A_WINS: "if not difference.low < 0:"}),
    ("intervals_overlap", {A_WINS: "if a.low > b.high:", B_WINS: "if b.low > a.high:"}),
    ("small_ignored", {A_WINS: "if difference.low > 0.01:", B_WINS: "if difference.high < -0.01:"}),
    ("majority_silent", {NEITHER: ""}),
    ("majority_silent", {FLOOR: "if difference.high <= majority < difference.low:"}),
    ("majority_inside", {FLOOR: "if max(a.value, b.value) <= majority:"}),
    ("majority_inside", {FLOOR: "if max(a.high, b.high) <= majority:"}),
    ("majority_either", {FLOOR: "if min(a.low, b.low) <= majority:"}),
    ("majority_either", {FLOOR: "if a.low <= majority or b.low <= majority:"}),
    ("majority_either", {FLOOR: "if a.low <= majority:"}),
]

ALTERNATIVES = {
    "and": {FLOOR: "if a.low <= majority and b.low <= majority:"},
    "contains": """
def conclude(a, b, difference, majority):
    beaten = [one for one in (a, b) if one.low > majority]
    if not beaten:
        return "neither beats the majority"
    if difference.contains(0):
        return "cannot be told apart"
    return "a is better" if difference.value > 0 else "b is better"
""",
    "product_of_the_ends": """
def conclude(a, b, difference, majority):
    if not (a.low > majority or b.low > majority):
        return "neither beats the majority"
    if difference.low * difference.high > 0:
        return "ab"[difference.high < 0] + " is better"
    return "cannot be told apart"
""",
    "signs": """
import numpy as np

SENTENCES = {2: "a is better", -2: "b is better"}


def conclude(first, second, gap, floor):
    if np.all(np.array([first.low, second.low]) <= floor):
        return "neither beats the majority"
    return SENTENCES.get(int(np.sign(gap.low) + np.sign(gap.high)), "cannot be told apart")
""",
    "match": """
def conclude(a, b, difference, majority):
    match (a.low > majority, b.low > majority), difference.low > 0, difference.high < 0:
        case (False, False), _, _:
            return "neither beats the majority"
        case _, True, _:
            return "a is better"
        case _, _, True:
            return "b is better"
        case _:
            return "cannot be told apart"
""",
    "comparison_of_the_package": """
from mmlab.evaluation import Comparison


def conclude(a, b, difference, majority):
    if all(one.low <= majority for one in (a, b)):
        return "neither beats the majority"
    return Comparison(difference, 0, 0, 1.0, 1).verdict
""",
    "one_expression": """
conclude = lambda a, b, d, m: (
    "neither beats the majority"
    if a.low <= m >= b.low
    else "a is better" if 0 < d.low else "b is better" if d.high < 0 else "cannot be told apart"
)
""",
    "distance_from_zero": """
def conclude(a, b, difference, majority):
    sentence = "cannot be told apart"
    nearest = min(max(0.0, difference.low), difference.high)  # the point of the interval that is nearest to 0
    if nearest > 0:
        sentence = "a is better"
    elif nearest < 0:
        sentence = "b is better"
    if sorted([a.low, b.low, majority])[-1] == majority:
        sentence = "neither beats the majority"
    return sentence
""",
    "exchanged_call": """
def wins(difference):
    return difference[0] > 0


def conclude(a, b, difference, majority):
    low, high = difference.low, difference.high
    if sum(one.low > majority for one in (a, b)) == 0:
        return "Neither beats the majority."
    if wins((low, high)):
        return "A is better."
    if wins((-high, -low)):
        return "B is better."
    return "Cannot be told apart."
""",
    "class_with_call": """
class Conclusion:
    sentences = ("b is better", "cannot be told apart", "a is better")

    def __call__(self, a, b, difference, majority):
        if max(a.low - majority, b.low - majority) <= 0:
            return "neither beats the majority"
        return self.sentences[1 + (difference.low > 0) - (difference.high < 0)]


conclude = Conclusion()
""",
    "first_that_holds": """
def conclude(a, b, difference, majority):
    sentences = {
        "neither beats the majority": majority >= a.low and majority >= b.low,
        "cannot be told apart": difference.low <= 0 <= difference.high,
        "a is better": difference.low > 0,
        "b is better": difference.high < 0,
    }
    return next(sentence for sentence, holds in sentences.items() if holds)
""",
}
