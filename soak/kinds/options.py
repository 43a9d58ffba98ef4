"""Damage to report.yml, which stands beside the course folder here, as it does in a results folder."""

from soak.course import Damaged
from soak.kinds.registry import add
from soak.kinds.special import MAKERS


def read_as(damaged: Damaged, raw: bytes, options: dict) -> None:
    damaged.take("report.yml")
    (damaged.root.parent / "report.yml").write_bytes(raw)
    damaged.options = options


def refused(damaged: Damaged, raw: bytes, *patterns: str) -> None:
    damaged.take("report.yml")
    (damaged.root.parent / "report.yml").write_bytes(raw)
    damaged.options_refused = ("report.yml", *patterns)


def special(damaged: Damaged, name: str) -> None:
    damaged.take("report.yml")
    make, problem = MAKERS[name]
    make(damaged.root.parent / "report.yml")
    damaged.options_refused = ("report.yml", problem, "Make it a text file")


LAUGHS = b"\n".join(b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9))
add("report.yml with a number", read_as, b"number: 007\nname: no\n", {"number": "007", "name": "no"})
add("report.yml with a mark", read_as, b"\xef\xbb\xbfname: \xe4\xb8\xad\xe6\x96\x87\r\n", {"name": "中文"})
add("report.yml that is empty", read_as, b"", {})
add("report.yml of comments", read_as, b"# name: x\n# to do\n", {})
add(
    "report.yml with markup",
    read_as,
    b"name: '<script>[/b] =cmd \\input{x}'\n",
    {"name": "<script>[/b] =cmd \\input{x}"},
)
add("report.yml with a switch", read_as, b"anonymise: Yes\nlanguage: zh\n", {"anonymise": True, "language": "zh"})
add("report.yml in GBK", refused, "name: 王小明".encode("gbk"), "is not UTF-8", "Save it as UTF-8")
add("report.yml in UTF-16", refused, "name: x".encode("utf-16"), "is not UTF-8", "Save it as UTF-8")
add("report.yml with a zero byte", refused, b"name: a\0b", "is not YAML", "Write `name: ...`")
add("report.yml that is no YAML", refused, b"name: 'x\naim: [", "is not YAML", "Write `name: ...`")
add("report.yml with a tab", refused, b"name:\n\t- x", "is not YAML", "Write `name: ...`")
add("report.yml that is a list", refused, b"- name\n- aim\n", "write one `key: value` per line")
add("report.yml that is a word", refused, b"hello", "write one `key: value` per line")
add("report.yml with an unknown option", refused, b"nane: x", "no option 'nane'", "Did you mean 'name'")
add("report.yml with a list in it", refused, b"name: [a, b]", "name must be a text")
add("report.yml with an option twice", refused, b"name: a\nname: b\n", "name is given twice", "Keep one")
add("report.yml with a wrong switch", refused, b"anonymise: perhaps", "anonymise is 'perhaps'", "Write true or false")
add("report.yml in an unknown language", refused, b"language: fr", "language 'fr' is unknown", "Use one of en, zh")
add("report.yml of 5000 lists", refused, b"[" * 5000 + b"]" * 5000, "nested too deeply|is not YAML")
add("report.yml with a billion laughs", refused, b"a0: &a0 lol\n" + LAUGHS, "no option|must be a text")
add("report.yml with an object", refused, b"name: !!python/object/apply:os.system [id]\n", "must be a text")
add("report.yml of 2 MB", refused, b"aim: " + b"x" * 2_000_000, "it has 2 MB, more than the", "Make it a text file")
for name in MAKERS:
    add(f"{name} as report.yml", special, name)
