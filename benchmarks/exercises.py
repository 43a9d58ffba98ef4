"""Every exercise against every known answer, with counts and seconds: python benchmarks/exercises.py

The answers are those of the tests: our solution, the blank stub, known mistakes, other right answers.
"""

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from exercise_cases import EXPECTED, is_right, judge, list_cases

from mmlab.exercises import EXERCISES


def main() -> None:
    print(f"{'notebook':<24} {'exercise':<18} solution  blank  mistakes  alternatives  slowest    all")
    for name, exercise in EXERCISES.items():
        right, asked, seconds = Counter(), Counter(), []
        for case in list_cases(name):
            started = time.perf_counter()
            verdict = judge(case)
            seconds.append(time.perf_counter() - started)
            asked[case.kind] += 1
            right[case.kind] += is_right(case, verdict)
        cells = [f"{right[kind]}/{asked[kind]}".rjust(width) for kind, width in zip(EXPECTED, (8, 6, 9, 13))]
        print(f"{exercise.notebook:<24} {name:<18} {' '.join(cells)} {max(seconds):7.2f} s {sum(seconds):5.1f} s")


if __name__ == "__main__":
    main()
