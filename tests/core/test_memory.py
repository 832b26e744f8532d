"""Plans of memory."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.errors import CannotError
from mvgen.core.memory import Job, available_memory, needs, plan_memory, require

STAGES = ("load", "sfm", "stereo", "fusion", "surface", "texture")
JOB = Job([(4000, 3000)] * 60, 1600, 1024, 960, 8192, 15, 4, 3_000_000, 50_000, 0)


def test_a_plan_holds_much_where_there_is_room():
    plan = plan_memory(JOB, STAGES, 2, None)
    assert plan.holding.pictures == 12 and plan.holding.depths == 32 and plan.holding.loaders == 2
    assert list(plan.needs) == list(STAGES)
    assert f"{plan.largest} " in str(plan)


@given(st.integers(200, 4000), st.integers(1, 64))
def test_less_is_held_under_a_limit_and_never_more_than_without(limit, threads):
    free, bound = plan_memory(JOB, STAGES, threads, None), plan_memory(JOB, STAGES, threads, limit << 20)
    assert bound.peak <= free.peak
    assert bound.peak <= limit << 20 or bound.holding.pictures == 1 + JOB.sources
    for name in ("loaders", "pictures", "depths"):
        assert 1 <= getattr(bound.holding, name) <= getattr(free.holding, name)


def test_memory_does_not_grow_with_many_photos_while_they_are_matched():
    few, many = (replace(JOB, photos=JOB.photos[:1] * n) for n in (40, 4000))
    holding = plan_memory(JOB, STAGES, 2, None).holding
    for stage in ("load", "sfm", "stereo"):
        assert needs(few, STAGES, holding)[stage] == needs(many, STAGES, holding)[stage]


def test_too_little_memory_is_refused_with_a_size_that_fits():
    limit = 700 << 20
    job = replace(JOB, depth_size=2400, picture_size=2400)
    plan = plan_memory(job, ("stereo",), 2, limit)
    with pytest.raises(CannotError) as caught:
        require(plan, job, ("stereo",), limit)
    size = int(caught.value.hint.split("--size ")[1])
    assert 64 < size < 2400
    smaller = replace(job, depth_size=size)
    require(plan_memory(smaller, ("stereo",), 1, limit), smaller, ("stereo",), limit)


def test_too_little_memory_for_any_size_is_refused_too():
    plan = plan_memory(JOB, STAGES, 2, 1000)
    with pytest.raises(CannotError, match="allowed"):
        require(plan, JOB, STAGES, 1000)


def test_free_memory_is_a_sensible_number():
    free = available_memory()
    assert free is None or 1 << 20 < free < 1 << 46
