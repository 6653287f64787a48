from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rtlab.server.brokers.carrying.subject_names import (
    MAX_SUBJECT_CHARS,
    encode_subject,
    full_name,
    probe_name,
)

LEGAL = re.compile(r"[A-Za-z0-9_-]+")
HARD = [
    "",
    ".",
    "*",
    ">",
    "a.b",
    "a_b",
    "a b",
    "a_20b",
    "_probe",
    "é",
    "e\u0301",
    "\ud800",
    "x" * 200,
    "ü" * 200,
]


@given(st.text(max_size=220), st.text(max_size=220))
def test_names_are_legal_everywhere_and_different_for_different_texts(one, other):
    name = encode_subject(one)
    assert LEGAL.fullmatch(name)
    assert len(name) <= MAX_SUBJECT_CHARS
    assert (name == encode_subject(other)) == (one == other)


def test_hard_names_differ_from_each_other_and_from_the_probes():
    names = {full_name("lab", text) for text in HARD} | {probe_name("lab")}
    assert len(names) == len(HARD) + 1


def test_the_longest_name_fits_into_a_topic_of_kafka():
    assert len(full_name("n" * 500, "s" * 500)) <= 249
    assert len(full_name("ü" * 20, "é" * 20)) <= 249
