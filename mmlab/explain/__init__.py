"""What moved an answer: each word and each cell of the picture, on one scale of probability.

In: a lab and a pair. Out: an `Explanation`, which sums to p(both) - p(none). `parts` takes a pair to pieces, `shapley`
divides a sum among players, `explaining` asks the lab, `explanation` shows what came out. Explained in
docs/explanations.md.
"""

from mmlab.explain.explaining import DRAWS, FEW_DRAWS, explain
from mmlab.explain.explanation import AGAINST, FOR, INK, NOTHING, Credits, Explanation, Side, in_points, tint
