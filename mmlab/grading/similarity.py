"""Which submissions agree more than chance: a test for each two of them, Holm over all.

Two honest submissions agree often: both are right about easy pairs, and both prefer the frequent label. So the pairs of
the key are put into strata that look alike to everyone but the two: the same true label, the same answer of the other
entrants and about as many of them giving it, the same answer of the reference that is closest to the two. Inside a
stratum the answers of one of the two are shuffled. What remains is measured by what is usual among two of this class
(an empirical null, Efron 2004): models of one kind agree beyond what any stratum explains. Agreement far beyond that is
a reason to read both files, and no proof of anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmlab.config import LABELS
from mmlab.grading.entrants import Entrant
from mmlab.grading.key import Key
from mmlab.grading.scoring import holm

_CLASSES = len(LABELS)
_UNITY = np.array([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])  # bounds of the share of entrants that give the usual answer
LEVEL = 0.01  # of all comparisons together


@dataclass(frozen=True)
class Similar:
    """Two students who agree more than chance. agreement and expected are shares of 1; shared: wrong answers that both
    gave; p_value: after Holm."""

    students: tuple[str, str]
    agreement: float
    expected: float
    shared: int
    p_value: float


def find_equal(entrants: Sequence[Entrant]) -> dict[str, str]:
    """The students whose answers are those of a reference: from name to the reference's."""
    references = {one.answers.tobytes(): one.name for one in reversed(entrants) if one.kind == "reference"}
    found = {one.name: references.get(one.answers.tobytes()) for one in entrants if one.kind == "student"}
    return {student: reference for student, reference in found.items() if reference}


def find_similar(key: Key, entrants: Sequence[Entrant], level: float = LEVEL) -> list[Similar]:
    """The pairs of students who agree more than chance, the surest first. entrants: as in `score_entrants`.

    Twins count as one pair of the key. Students who equal a reference are similar by design and left out. With fewer
    than three different files nothing is known of what is usual, and nothing is found.
    """
    from scipy.special import ndtr

    equal = find_equal(entrants)
    students = [one for one in entrants if one.kind == "student" and one.name not in equal]
    if len(students) < 2:
        return []
    _, single = np.unique(key.groups, return_index=True)
    table = _Table(key.labels[single], np.stack([one.answers[single] for one in entrants]), entrants)
    rows = [entrants.index(one) for one in students]
    tests = [table.compare(row, np.array(rows[number + 1 :])) for number, row in enumerate(rows[:-1])]
    seen, expected, spread = (np.concatenate(parts) for parts in zip(*tests))
    score = np.divide(seen - expected - 0.5, spread, out=np.full(len(seen), -np.inf), where=spread > 1e-9)
    first, second = np.triu_indices(len(students), 1)
    _, originals = np.unique(table.voter[rows], return_index=True)  # copies of a file are not what is usual
    usual = np.isin(first, originals) & np.isin(second, originals) & np.isfinite(score)
    p_values = holm(ndtr(-standardise(score, score[usual])))
    found = []
    for number in np.flatnonzero(p_values <= level):
        a, b = students[first[number]], students[second[number]]
        wrong = int(((a.answers == b.answers) & (a.answers != key.labels)).sum())
        agreement, chance = (float(count[number] / len(single)) for count in (seen, expected))
        found.append(Similar((a.name, b.name), agreement, chance, wrong, float(p_values[number])))
    return sorted(found, key=lambda one: (one.p_value, -one.agreement, one.students))


def standardise(scores: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Scores with the median of the usual ones as 0 and their spread as 1, where this makes them smaller."""
    if not len(usual):
        return scores
    middle = np.median(usual)
    return (scores - max(0, middle)) / max(1, 1.4826 * np.median(np.abs(usual - middle)))


class _Table:
    """labels (n,) and the answers (k, n) of all entrants."""

    def __init__(self, labels: np.ndarray, answers: np.ndarray, entrants: Sequence[Entrant]) -> None:
        self.labels, self.answers = labels, answers
        distinct, self.voter = np.unique(answers, axis=0, return_inverse=True)  # copies vote once
        self.voter = self.voter.ravel()
        self.ballots = np.eye(_CLASSES, dtype=np.int16)[distinct]  # (voters, n, 3)
        self.votes = self.ballots.sum(axis=0, dtype=np.int16)
        self.references = answers[[one.kind != "student" for one in entrants]]
        self.closeness = (answers[:, None] == self.references[None]).mean(axis=2)  # (k, references)

    def compare(self, one: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(agreements, their expectation, their standard deviation) of one entrant with m others, each (m,)."""
        strata = self._strata(one, others)
        size = int(strata.max()) + 1
        mine = self._count(strata, np.broadcast_to(self.answers[one], strata.shape), size)
        theirs = self._count(strata, self.answers[others], size)
        seen = (self.answers[one] == self.answers[others]).sum(axis=1)
        # The moments of the number of matches when the answers of one are shuffled inside each stratum.
        n = np.maximum(mine.sum(axis=2), 1)
        matches = (mine * theirs).sum(axis=2)
        crossed = (mine * theirs**2 + mine**2 * theirs).sum(axis=2)
        variance = (matches - crossed / n + matches**2 / n**2) / np.maximum(n - 1, 1)
        return seen, (matches / n).sum(axis=1), np.sqrt(np.maximum(variance.sum(axis=1), 0))

    def _strata(self, one: int, others: np.ndarray) -> np.ndarray:
        """The stratum of each pair of the key, (m, n), for one entrant with each of the others."""
        own, other = self.voter[one], self.voter[others]
        votes = self.votes - self.ballots[own] - np.where((other != own)[:, None, None], self.ballots[other], 0)
        usual = votes.argmax(axis=2)
        unity = np.digitize(votes.max(axis=2) / np.maximum(votes.sum(axis=2), 1), _UNITY)
        closest = self.references[(self.closeness[others] + self.closeness[one]).argmax(axis=1)]
        return ((self.labels * _CLASSES + usual) * _CLASSES + closest) * (len(_UNITY) + 1) + unity

    def _count(self, strata: np.ndarray, answers: np.ndarray, size: int) -> np.ndarray:
        """How often each answer is given in each stratum, (m, size, 3) float64."""
        m = len(strata)
        cells = (np.arange(m)[:, None] * size + strata) * _CLASSES + answers
        return np.bincount(cells.ravel(), minlength=m * size * _CLASSES).reshape(m, size, _CLASSES).astype(np.float64)
