from __future__ import annotations

from dataclasses import asdict

from hermes_stream import POLICIES
from hermes_stream.filters import FILTERS


def test_every_policy_is_listed_with_its_facts(hermes):
    run = hermes("policies", "--json")
    assert (run.code, run.err) == (0, "")
    listed = run.document["policies"]
    assert [entry["name"] for entry in listed] == list(POLICIES)
    for entry in listed:
        policy = POLICIES[entry["name"]]()
        assert entry["summary"] == policy.facts.summary
        assert entry["reads"] == list(policy.facts.reads)
        assert entry["at_question"] == policy.facts.at_question
        assert entry["defaults"].keys() == asdict(policy).keys()


def test_a_preset_says_in_what_it_differs(hermes):
    listed = {entry["name"]: entry["preset"] for entry in hermes("policies", "--json").document["policies"]}
    assert listed["hermes_paper"] == listed["window"] == {}
    assert listed["hermes"] == listed["hermes_best"]
    assert listed["hermes"]["summarize"] is False
    assert listed["hermes"]["protect_recent_patches"] == 2
    assert f"unlike_share={listed['hermes']['unlike_share']}" in hermes("policies").out


def test_every_filter_is_listed(hermes):
    listed = hermes("policies", "--json").document["filters"]
    assert [entry["name"] for entry in listed] == list(FILTERS)
    assert all(entry["summary"] and entry["paper"] for entry in listed)
    assert all(f"filter {name}" in hermes("policies").out for name in FILTERS)


def test_for_people(hermes):
    run = hermes("policies")
    assert run.code == 0
    assert all(name in run.out.splitlines() for name in POLICIES)
    assert "arXiv 2601.14724" in run.out
