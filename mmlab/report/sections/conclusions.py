"""What follows, what does not, and where each number comes from."""

from mmlab.evaluation import MAJORITY
from mmlab.report.document import Block, Code, Items, Paragraph, Table
from mmlab.report.evidence import DATA_NOTEBOOK, JOINT, PARTS, Evidence, name_setting
from mmlab.report.words import Say
from mmlab.runs import Run
from mmlab.workbook import GRID


def conclusions(evidence: Evidence, say: Say) -> list[Block]:
    items = []
    for one in evidence.comparisons:
        if one.result is not None:
            a, b = (one.b, one.a) if one.better is one.b else (one.a, one.b)
            key = "conclude.open" if one.better is None else "conclude.real"
            points = say.interval(one.result.difference, "+.1f", 100)
            items.append(say(key, a=say.row(a), b=say.row(b), difference=points))
    control, majority = evidence.runs.get("shuffle_labels"), evidence.runs.get("majority")
    if control is not None and majority is not None:
        score, floor = control.scores[JOINT].accuracy, majority.scores[MAJORITY].accuracy
        verdict = say("leak.yes" if score.low > floor.value else "leak.no")
        items.append(say("conclude.leak", score=say.interval(score), floor=say.interval(floor), verdict=verdict))
    blocks: list[Block] = [Items(items)] if items else []
    return [*blocks, *(Paragraph(text) for text in say.options.conclusions.strip().split("\n\n") if text)]


def limits(evidence: Evidence, say: Say) -> list[Block]:
    main, record = evidence.main, evidence.records.get(DATA_NOTEBOOK)
    if main is None or record is None:
        return []
    counts = record["health"]["label_counts"]
    label = min(counts, key=counts.get)
    labels = say("limits.labels", conflicts=record["health"]["label_conflicts"])
    rare, split = say("limits.rare", label=label, rare=counts[label]), say("limits.split", seed=main.config.seed)
    return [Items([labels, say("limits.population"), rare, split])]


def provenance(evidence: Evidence, say: Say) -> list[Block]:
    if not evidence.runs:
        return []
    first = evidence.main or next(iter(evidence.runs.values()))
    keys = {"data": "data_fingerprint", "split": "split_hash", "commit": "commit"}
    origin = {name: (first.provenance[key] or "—")[:16] for name, key in keys.items()}
    entries = _list_entries(evidence, say)
    lines = []
    for name, run, _ in entries:
        seeds = {"seed": _knob(run, "seed"), "models": _knob(run, "seeds")}
        lines.append({"rows": name, "run": run.id, **seeds, "commit": run.provenance["commit"] or "—"})
    commands = dict.fromkeys(f"# {name}\n{command}" for name, _, command in entries)
    return [
        Paragraph(say("provenance.text", seed=_knob(first, "seed"), **origin)),
        Table("provenance", say.frame(lines), say("provenance.caption")),
        Code("\n".join(commands)),
    ]


def _list_entries(evidence: Evidence, say: Say) -> list[tuple[str, Run, str]]:
    """Every run that the report shows: which rows come from it, the run, and the command that makes it."""
    entries = []
    for part, run in evidence.runs.items():
        names = [say.row(evidence.row(part, scenario)) for scenario in PARTS[part].scenarios]
        entries.append((", ".join(names), run, evidence.command_of(part)))
    for run in {row.run.id: row.run for row in evidence.tuned}.values():
        entries.append((say("provenance.tuned"), run, evidence.train_command(run.config)))
    for run in evidence.grid:
        name = say("provenance.setting", name=name_setting(run, evidence.grid))
        entries.append((name, run, evidence.train_command(run.config, GRID)))
    return entries


def _knob(run: Run, name: str) -> str:
    return str(getattr(run.config, name)) if run.config else "—"  # a baseline has none
