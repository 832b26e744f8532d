"""The panel beside the view: what is shown, what of it can be seen, how large, and on which ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.viewer.show import Shown
from mvgen.core.viewer.stage import FIELD_OF_VIEW, Stage

if TYPE_CHECKING:
    from viser import ViserServer

_AXES = {f"{sign}{name}": s * np.eye(3)[k] for k, name in enumerate("XYZ") for sign, s in (("+", 1.0), ("-", -1.0))}
_AS_FOUND = "as photographed"


def add_panel(server: ViserServer, shown: Sequence[Shown], stage: Stage, background: Sequence[float]) -> None:
    """A folder for each thing with its counts and what of it is seen, then sizes, background and the up axis.

    background: sRGB in [0, 1].
    """
    for one in shown:
        _add_thing(server, one)
    with server.gui.add_folder("View"):
        if any(one.points is not None for one in shown):
            _add_point_size(server, shown)
        if any(one.cameras for one in shown):
            _add_camera_size(server, shown)
        _add_background(server, background)
        _add_up(server, stage)


def set_view(server: ViserServer, stage: Stage) -> None:
    """The up axis and the first view, for browsers that come and for those that are there."""
    server.scene.set_up_direction(stage.up)
    eye, target = stage.first_view()
    views: list[Any] = [server.initial_camera, *(client.camera for client in server.get_clients().values())]
    for view in views:
        if view is server.initial_camera:
            view.up = stage.up
        else:
            view.up_direction = stage.up
        view.position, view.look_at, view.fov = eye, target, FIELD_OF_VIEW


def _add_thing(server: ViserServer, one: Shown) -> None:
    counts = ", ".join(f"{count:,} {what}" for what, count in one.thing.counts.items())
    with server.gui.add_folder(Path(one.thing.name).name or one.thing.name):
        server.gui.add_markdown(f"{one.thing.kind}: {counts}" if one.thing.kind not in counts else counts)
        _add_switch(server, "shown", [one.root])
        if one.points is not None and one.cameras:
            _add_switch(server, "points", [one.points])
        if one.cameras:
            _add_switch(server, "cameras", one.cameras)
        if any(photo is not None for photo in one.photos):
            _add_photos(server, one)


def _add_switch(server: ViserServer, label: str, nodes: Sequence[Any]) -> None:
    switch = server.gui.add_checkbox(label, initial_value=True)

    @switch.on_update
    def _(_: Any) -> None:
        with server.atomic():
            for node in nodes:
                node.visible = switch.value


def _add_photos(server: ViserServer, one: Shown) -> None:
    switch = server.gui.add_checkbox("photos", initial_value=True)

    @switch.on_update
    def _(_: Any) -> None:
        with server.atomic():
            for node, photo in zip(one.cameras, one.photos):
                node.image = photo if switch.value else None


def _add_point_size(server: ViserServer, shown: Sequence[Shown]) -> None:
    slider = server.gui.add_slider("point size", min=0.1, max=5.0, step=0.1, initial_value=1.0)

    @slider.on_update
    def _(_: Any) -> None:
        for one in shown:
            if one.points is not None:
                one.points.point_size = slider.value * one.point_size


def _add_camera_size(server: ViserServer, shown: Sequence[Shown]) -> None:
    slider = server.gui.add_slider("camera size", min=0.1, max=5.0, step=0.1, initial_value=1.0)

    @slider.on_update
    def _(_: Any) -> None:
        with server.atomic():
            for one in shown:
                for node in one.cameras:
                    node.scale = slider.value * one.camera_size


def _add_background(server: ViserServer, colour: Sequence[float]) -> None:
    choice = server.gui.add_rgb("background", tuple(round(255 * part) for part in colour))  # type: ignore[arg-type]

    def paint(_: Any = None) -> None:
        pixel = np.array(choice.value, np.uint8).reshape(1, 1, 3)
        server.scene.set_background_image(pixel, format="png")

    choice.on_update(paint)
    paint()


def _add_up(server: ViserServer, stage: Stage) -> None:
    axis = _axis_named(stage.up)
    names = [*_AXES] if axis else [_AS_FOUND, *_AXES]
    choice = server.gui.add_dropdown("up", names, initial_value=axis or _AS_FOUND)

    @choice.on_update
    def _(_: Any) -> None:
        up = stage.up if choice.value == _AS_FOUND else _AXES[choice.value]
        set_view(server, replace(stage, up=up))


def _axis_named(up: NDArray[np.float64]) -> str | None:
    return next((name for name, axis in _AXES.items() if np.allclose(axis, up)), None)
