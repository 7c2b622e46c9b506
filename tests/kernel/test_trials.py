"""The means of enforcement, tried on the kernel that runs."""

from __future__ import annotations

import os

import pytest

from busted.kernel.features import probe, try_programs
from busted.kernel.trials import try_means
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel")


def test_each_means_is_tried_and_says_why_it_is_not_there() -> None:
    answers = {mean.name: mean for mean in try_means()}

    assert all(mean.detail for mean in answers.values() if mean.answer == "no")
    assert answers["SOCK_DESTROY"].answer == "yes", answers["SOCK_DESTROY"]
    assert answers["signal by pidfd"].answer == "yes"
    assert answers["connect verdicts by LSM"].answer == try_programs().answers["lsm"].answer
    # Both came with Linux 6.5 and 6.6, and every kernel here has both or none.
    if probe().has("multi uprobe"):
        assert answers["bpf_sock_destroy"].answer == "yes"


def test_connections_can_be_refused_where_the_root_of_the_cgroups_is() -> None:
    require("cgroups")
    (answer,) = [mean for mean in try_means() if mean.name == "connect verdicts at cgroups"]
    assert answer.answer == "yes", answer


def test_trying_leaves_nothing_behind() -> None:
    before = os.listdir("/proc/self/fd")
    try_means()
    assert os.listdir("/proc/self/fd") == before
