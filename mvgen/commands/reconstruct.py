"""``mvgen reconstruct``: photos to a textured mesh, points, or a posed scene."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvgen.commands.job import Job, Report
from mvgen.commands.options import Format, Output, Settings, parse_count
from mvgen.commands.settings import apply_settings
from mvgen.core.errors import UsageError

if TYPE_CHECKING:
    from mvgen.core.previews import DepthPreviews
    from mvgen.core.reconstruct import OnDepth, Reconstruction
    from mvgen.core.scene import DepthMap

DEVICES = ("cpu", "cuda")
EXTENSIONS = {"mesh": (".glb", ".ply", ".obj", ".stl", ".off"), "points": (".ply", ".glb")}


def reconstruct(
    job: Job,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES|DIR...", help="Two or more photos, or folders of them.")
    ],
    output: Output,
    kind: Annotated[
        Literal["mesh", "points", "scene"],
        typer.Option("--as", help="A textured mesh, a point cloud, or a folder with cameras, pictures and depths."),
    ] = "mesh",
    faces: Annotated[
        Any,
        typer.Option(parser=parse_count, metavar="N", help="Most faces of the mesh; viewers like under 100k."),
    ] = 50_000,
    size: Annotated[
        int, typer.Option(min=64, max=4096, metavar="PIXELS", help="Long side of the depth maps; finer is slower.")
    ] = 960,
    texture_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=16384, metavar="PIXELS", help="Side of the texture.", show_default="follows the photos"
        ),
    ] = None,
    save_cameras: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR", help="Also write the cameras: transforms.json, or a COLMAP model in a folder."
        ),
    ] = None,
    previews: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Also write pictures of depth, confidence and cameras, and a contact sheet."),
    ] = None,
    settings: Settings = None,
    format: Format = None,
) -> Report:
    """Photos to a textured mesh, points, or a posed scene; on the CPU, with no download.

    Take photos from different places, each showing about two thirds of what the one before shows. The result is
    upright (+Y), centred, and two units long; its true size is not known from photos.

    Examples:
      mvgen reconstruct photos/*.jpg -o scene.glb
      mvgen reconstruct photos/ -o cloud.ply --as points --save-cameras transforms.json
    """
    from mvgen.core.io.images import find_photos, read_photos
    from mvgen.core.reconstruct import ReconstructOptions
    from mvgen.core.reconstruct import reconstruct as run
    from mvgen.core.stereo.match import usable_device

    if faces < 4:
        raise UsageError(f"--faces {faces}: a mesh has at least 4", "leave --faces out")
    _check_outputs(job, output, kind, format, save_cameras, previews)
    options = apply_settings(
        ReconstructOptions(),
        [f"stereo.size={size}", f"faces={faces}", f"texture_size={texture_size or 0}", *(settings or [])],
    )
    device = usable_device(job.device, job.progress)
    photos = read_photos(find_photos([Path(i) for i in images]))
    preview, depths = _preview(job, previews), _depth_folder(job, kind)
    watch = _both(preview, depths)
    result = run(photos, job.scratch, kind, options, job.seed, job.threads, job.progress, watch, device)
    _write(job, result, output, kind, format)
    if save_cameras is not None:
        _write_cameras(job, result, save_cameras)
    if preview is not None and previews is not None:
        preview.finish(result.scene, result.points)
        job.write_folder(previews, lambda draft: _move_all(preview.folder, draft))
    return _report(result, output, options, job, device)


def _check_outputs(
    job: Job, output: str, kind: str, format: str | None, save_cameras: str | None, previews: str | None
) -> None:
    """Refuse what could not be written in the end, before any work."""
    job.check(output, format, folder=kind == "scene")
    if kind != "scene":
        suffix = f".{format.lstrip('.').lower()}" if format else Path(output).suffix.lower()
        if suffix not in EXTENSIONS[kind]:
            raise UsageError(
                f"{output}: {kind} cannot be written as {suffix or 'this'}",
                f"use one of {', '.join(EXTENSIONS[kind])}" + (", or --as scene for a folder" if not suffix else ""),
            )
    if save_cameras is not None:
        job.check(save_cameras, folder=not save_cameras.endswith(".json"))
    if previews is not None:
        job.check(previews, folder=True)


def _preview(job: Job, previews: str | None) -> DepthPreviews | None:
    from mvgen.core.previews import DepthPreviews

    if previews is None:
        return None
    folder = job.scratch / "previews"
    folder.mkdir()
    return DepthPreviews(folder)


def _depth_folder(job: Job, kind: str) -> OnDepth | None:
    """Keeps every depth map as .npz in scratch where the scene is asked for."""
    from mvgen.core.io.depth import save_depth

    if kind != "scene":
        return None
    folder = job.scratch / "depth"
    folder.mkdir()

    def keep(depth_map: DepthMap, image: Any) -> None:
        save_depth(depth_map, folder / f"{Path(depth_map.camera.name).stem}.npz")

    return keep


def _both(*watchers: OnDepth | None) -> OnDepth | None:
    some = [w for w in watchers if w is not None]

    def watch(depth_map: DepthMap, image: Any) -> None:
        for watcher in some:
            watcher(depth_map, image)

    return watch if some else None


def _write(job: Job, result: Reconstruction, output: str, kind: str, format: str | None) -> None:
    from mvgen.core.io.cameras import write_scene_folder
    from mvgen.core.io.meshes import save_mesh, save_points

    if kind == "scene":

        def fill(draft: Path) -> None:
            write_scene_folder(result.scene, draft)
            _move_all(job.scratch / "depth", draft / "depth")
            save_points(result.points, draft / "points.ply")

        job.write_folder(output, fill)
    elif result.mesh is not None:
        mesh = result.mesh
        job.write(output, lambda draft: save_mesh(mesh, draft), format)
    else:
        job.write(output, lambda draft: save_points(result.points, draft), format)


def _write_cameras(job: Job, result: Reconstruction, target: str) -> None:
    from mvgen.core.io.cameras import save_cameras

    if target.endswith(".json"):
        job.write(target, lambda draft: save_cameras(result.scene, draft))
    else:
        job.write_folder(target, lambda draft: save_cameras(result.scene, draft))


def _move_all(source: Path, target: Path) -> None:
    import shutil

    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        shutil.move(path, target / path.name)


def _report(result: Reconstruction, output: str, options: Any, job: Job, device: str) -> Report:
    verdicts = result.sfm.verdicts
    missed = [v for v in verdicts if not v.registered]
    for verdict in missed:
        job.progress.warn(f"{verdict.name}: {verdict.reason}; {verdict.advice}")
    data: dict[str, Any] = {
        "photos": [asdict(v) for v in verdicts],
        "registered": len(verdicts) - len(missed),
        "reprojection_error_px": result.sfm.reprojection_error,
        "sfm_seconds": result.sfm.seconds,
        "points": len(result.points),
        "result_from_cameras": result.frame.matrix().tolist(),
        "method": "classical",
        "device": device,
        "options": asdict(options),
    }
    what = f"{len(result.points):,} points"
    if result.mesh is not None:
        data |= {"vertices": len(result.mesh.vertices), "faces": len(result.mesh.faces)}
        what = f"{len(result.mesh.faces):,} faces"
        if result.mesh.texture is not None:
            data["texture"] = list(result.mesh.texture.shape[1::-1])
            what += f", texture {data['texture'][0]} x {data['texture'][1]}"
    registered = f"{len(verdicts) - len(missed)} of {len(verdicts)} photos"
    return Report(data=data, lines=(f"{output}: {what}, from {registered}",))
