"""From scripts to H.264 files with their tags and annotations.

Shapes: H x W px of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from wtal.demo import scenes
from wtal.demo.actions import ACTIONS, acting
from wtal.demo.script import Event, Script
from wtal.demo.sprites import Frame, paste, shadow, sprite
from wtal_features import Tags, write_tags
from wtal_features.files import write_json
from wtal_features.video.container import load_av
from wtal_features.video.x264 import REPEATABLE

FPS = 10
WIDTH, HEIGHT = 160, 128
# Quick to write; an I-frame every three seconds, so that players seek quickly.
X264 = {"preset": "veryfast", "crf": "24", "g": "30", **REPEATABLE}
_CUT_CHANCE = 1 / (9 * FPS)
_PAN_PX = 0.4
_SIZE = 1.6
_NOISE = 5  # of the sensor, in levels


def film_all(
    folder: Path,
    scripts: Sequence[Script],
    generator: np.random.Generator,
    progress: Callable[[int], None],
) -> None:
    """`folder/videos/*.mp4`, `folder/tags.csv` and `folder/annotations.json`.

    Args:
        folder: Exists.
        scripts: Of all videos.
        generator: Of places, cameras and noise.
        progress: Told of every finished video, how many there are.
    """
    places = {name: scenes.paint(name, generator) for name in scenes.PLACES}
    (folder / "videos").mkdir()
    for done, script in enumerate(scripts, 1):
        encode(folder / "videos" / f"{script.name}.mp4", frames(script, places, generator))
        progress(done)
    labels = {s.name: tuple(sorted({e.action for e in s.actions})) for s in scripts}
    write_tags(folder / "tags.csv", Tags(labels, {s.name: s.subset for s in scripts}))
    database = {s.name: _annotated(s) for s in scripts}
    write_json(folder / "annotations.json", {"version": "wtal demo", "database": database})


def _annotated(script: Script) -> dict[str, Any]:
    """An entry of an ActivityNet file."""
    return {
        "subset": script.subset,
        "duration": round(script.seconds * FPS) / FPS,
        "annotations": [
            {"label": event.action, "segment": [event.start_s, event.end_s]}
            for event in script.actions
        ],
    }


def encode(path: Path, pictures: Iterator[Frame]) -> None:
    """Frames to H.264 in mp4."""
    av = load_av()
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=X264)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuv420p"
        for n, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frames(
    script: Script, places: Mapping[str, Frame], generator: np.random.Generator
) -> Iterator[Frame]:
    """The pictures of one video, (H, W, 3)."""
    n = round(script.seconds * FPS)
    camera = scenes.film(n, _CUT_CHANCE, _PAN_PX, generator)
    grain = generator.integers(-_NOISE, _NOISE + 1, (2 * HEIGHT, 2 * WIDTH, 1), dtype=np.int16)
    exposure_N = generator.uniform(0.88, 1.08, camera.shot_N[-1] + 1)[camera.shot_N]
    offset_N2 = generator.uniform(-0.06, 0.06, (camera.shot_N[-1] + 1, 2))[camera.shot_N]
    corner_N2 = generator.integers((HEIGHT, WIDTH), size=(n, 2))
    place = places[script.place]
    for i in range(n):
        picture = scenes.view(place, camera.x_N[i], camera.y_N[i], WIDTH, HEIGHT)
        for event in script.events:
            if event.start_s <= i / FPS < event.end_s:
                x, y = offset_N2[i] * HEIGHT + camera.shake_N2[i]
                _draw(picture, event, i / FPS, x + WIDTH / 2, y + HEIGHT / 2)
        top, left = corner_N2[i]
        lit = picture * np.float32(exposure_N[i])
        lit += grain[top : top + HEIGHT, left : left + WIDTH]
        yield lit.clip(0, 255).astype(np.uint8)


def _draw(picture: Frame, event: Event, now_s: float, x: float, y: float) -> None:
    """One thing at one moment; (x, y) is the middle of the scene in the picture, px."""
    since = now_s - event.start_s
    share = since / (event.end_s - event.start_s)
    x, y = x + event.x * HEIGHT, y + event.y * HEIGHT
    if event.kind == "drift":
        x += (share - 0.5) * 1.3 * WIDTH * (1 if event.tone % 2 else -1)
    if event.kind == "action":
        poses = acting(event.action, since * event.tempo, share)
    else:
        poses = ACTIONS[event.action](since, 1.0 if event.kind == "stir" else 0.0)
    for pose in poses:
        if pose.radius > 2:
            paste(
                picture,
                shadow(round(2.2 * _SIZE * pose.radius)),
                x + _SIZE * pose.x,
                y + _SIZE * 22,
            )
    for pose in poses:
        drawn = sprite(pose.look, event.tone, pose.angle, _SIZE * pose.radius)
        paste(picture, drawn, x + _SIZE * pose.x, y + _SIZE * pose.y)
