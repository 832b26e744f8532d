"""Tiny diffusion models, made once."""

import pytest

from tests.core.guidance import networks


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    make = {"sd": networks.stable_diffusion, "sdxl": networks.stable_diffusion_xl, "pixart": networks.pixart}
    out = {name: one(tmp_path_factory.mktemp(name)) for name, one in make.items()}
    return out | {"v": networks.stable_diffusion(tmp_path_factory.mktemp("v"), "v_prediction")}
