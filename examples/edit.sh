#!/usr/bin/env bash
# Photos of a still life to Gaussian splats, and these edited from the shell, on a CPU:
#
#   bash examples/edit.sh [FOLDER]       (out/edit without it; ten minutes, nearly all of it the fit)
#
# The jar's lid is dragged up, the shell becomes red, the stone is taken as a thing of its own, and a smaller one of it
# is put on the block. before.png and after.png show it; FIT='--set splats.iterations=100' fits faster, and worse.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ -x "$HERE/../.venv/bin/mvgen" ]]; then
    PATH="$(cd "$HERE/../.venv/bin" && pwd):$PATH"
fi
OUT="${1:-out/edit}"
FIT="${FIT:---set splats.splats=20000}"

if [[ ! -f "$OUT/scene.ply" ]]; then
    python "$HERE/make_photos.py" "$OUT/photos" --views "${VIEWS:-12}" --size "${SIZE:-640x480}"
    # The photos' cameras are known here, so that places are known too. Of a PLY, y points down and z away:
    # what the formulas put at (x, y, z) is at (x, -y, -z).
    # shellcheck disable=SC2086  # FIT is several words
    mvgen reconstruct "$OUT/photos/images" --cameras "$OUT/photos/cameras.json" --as splats -o "$OUT/scene.ply" $FIT
fi
cd "$OUT"
mvgen render scene.ply -o before.png --size 640x480

# Parts of the scene, in one file.
mvgen select-region scene.ply -o parts.npz --name lid --box=-0.3,-1.5,-0.3,0.3,-0.95,0.3 --preview lid.png
mvgen select-region scene.ply -o parts.npz --append --name shell --sphere 0.45,-0.12,-0.66,0.34 --half-space 0,-1,0,0.035
mvgen select-region scene.ply -o parts.npz --append --name stone --sphere=-0.66,-0.12,-0.42,0.42 --half-space 0,-1,0,0.01

# The stone as a thing of its own; the lid dragged like plasticine; the shell in another colour; the stone added.
mvgen edit scene.ply -o stone.ply --region parts.npz:stone --keep
mvgen edit scene.ply -o dragged.ply --region parts.npz:lid --drag 0,-1.1,0:0,-1.32,0:0.16
mvgen edit dragged.ply -o coloured.ply --region parts.npz:shell --recolor '#c03a2b'
mvgen edit coloured.ply -o after.ply \
    --add 'stone.ply:translate=0.66,0.12,0.42 scale=0.6 translate=0.66,-0.6,0.4'

mvgen render after.ply -o after.png --size 640x480
