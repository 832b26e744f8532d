"""Photos to cameras: structure from motion."""

from mvgen.core.sfm.recover import SfmOptions, SfmResult, recover_cameras
from mvgen.core.sfm.verdicts import Verdict

__all__ = ["SfmOptions", "SfmResult", "Verdict", "recover_cameras"]
