"""The parts of `make audit`, each on made-up answers: what is found, and what could not be looked at, is a failure."""

import json
from email.message import Message

import pytest
from audit import find_licence, judge_files, judge_licences, judge_vulnerabilities, read_hashes, read_pins


def answer(*packages: dict) -> str:
    return json.dumps({"dependencies": [{"name": "one", "version": "1.0", "vulns": [], **each} for each in packages]})


def test_a_vulnerability_is_named_with_what_mends_it():
    found = {"vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}]}
    assert list(judge_vulnerabilities(answer(found, {}), 2)) == [
        "FAIL  one 1.0: PYSEC-1, mended in 1.1: make lock LOCK_OPTIONS=--upgrade",
        "FAIL  one 1.0: PYSEC-2, not mended yet: make lock LOCK_OPTIONS=--upgrade",
        "OK    vulnerabilities: 2 packages were looked up",
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer({}, {"skip_reason": "not found"}), "did not answer for 1 of 2 packages"),
        (answer({}), "did not answer for 1 of 2 packages"),
        ("No route to host", "none of 2 packages was looked up: No route to host"),
    ],
)
def test_a_database_that_does_not_answer_is_no_clean_bill(said, told):
    (line,) = judge_vulnerabilities(said, 2)
    assert line.startswith("FAIL") and told in line


@pytest.mark.parametrize(
    ("fields", "file", "licence"),
    [
        ({"License-Expression": "MIT"}, "", "MIT"),
        (
            {"License": "UNKNOWN", "Classifier": "License :: OSI Approved :: ISC License (ISCL)"},
            "",
            "ISC License (ISCL)",
        ),
        ({"License": "BSD 3-Clause"}, "", "BSD 3-Clause"),
        ({"License": "UNKNOWN"}, "\nApache Software License 2.0\n\nCopyright", "Apache Software License 2.0"),
        ({"License": "a whole\ntext"}, "", ""),
        ({}, "", ""),
    ],
)
def test_the_licence_is_found_wherever_a_package_names_it(fields, file, licence):
    package = Message()
    for name, value in fields.items():
        package[name] = value
    assert find_licence(package, file) == licence


def test_every_installed_package_has_a_licence_that_was_accepted():
    lines = list(judge_licences(read_pins()))
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert any(line.startswith("NOTE  tqdm: MPL-2.0") for line in lines)


def test_twin_a_licence_that_binds_or_is_missing_is_noticed(monkeypatch):
    monkeypatch.setattr("audit.ACCEPTED", {})
    assert {"tqdm", "certifi"} <= {line[6:].partition(":")[0] for line in judge_licences(read_pins()) if "FAIL" in line}
    monkeypatch.setattr("audit.find_licence", lambda *_: "")
    assert list(judge_licences({"numpy": "1"}))[0].startswith("FAIL  numpy: names no licence")


def test_files_that_the_index_lacks_or_adds_are_told():
    locked = read_hashes()
    assert list(judge_files(locked, locked))[0].startswith("OK    files: ")
    first = next(iter(locked))
    kept = {**locked, first: {"sha256:other"}}
    gone, new, _ = judge_files(locked, kept)
    assert gone.startswith(f"FAIL  {first}: the index no longer has {len(locked[first])} of")
    assert new.startswith(f"NOTE  {first}: the index has 1 files that the lock does not know")
    assert "no longer has" in list(judge_files(locked, {}))[-2]
