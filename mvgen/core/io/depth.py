"""Depth maps as .npz: float32 depth, normal (camera axes), confidence; intrinsics, world_to_camera (OpenCV)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgen.core.scene import DepthMap


def save_depth(depth_map: DepthMap, path: Path) -> None:
    """Write a depth map; depth is along the optical axis in scene units, 0 where unknown."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            depth=depth_map.depth,
            normal=depth_map.normal,
            confidence=depth_map.confidence,
            intrinsics=depth_map.camera.intrinsics,
            world_to_camera=depth_map.camera.world_to_camera,
        )
