"""Photos to cameras: structure from motion."""

from mvgen.core.sfm.lens import Lens
from mvgen.core.sfm.pictures import Known, Picture, prepare_pictures, with_known
from mvgen.core.sfm.recover import SfmOptions, SfmResult, find_cameras, recover_cameras
from mvgen.core.sfm.verdicts import Verdict

__all__ = [
    "Known",
    "Lens",
    "Picture",
    "SfmOptions",
    "SfmResult",
    "Verdict",
    "find_cameras",
    "prepare_pictures",
    "recover_cameras",
    "with_known",
]
