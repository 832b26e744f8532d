# Photos to a scene folder, the scene to a mesh, the mesh to other formats: each step a file that make knows, so that a
# step runs again only when what it depends on has changed.
#
#   make -C examples -f stages.mk                        everything, from photos that make_photos.py makes
#   make -C examples -f stages.mk scene | model          as far as the depth maps, as far as the mesh
#   make -C examples -f stages.mk IMAGES=/my/photos OUT=/tmp/mine
#   make -C examples -f stages.mk FORMATS='obj stl'
#
# A step that was interrupted goes on where it was: what is finished lies in $(OUT)/work, which is no target, so that
# make does not delete it with the half-made ones. `make clean` does.

HERE   := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
VENV   ?= $(HERE)/../.venv
MVGEN  ?= $(if $(wildcard $(VENV)/bin/mvgen),$(VENV)/bin/mvgen,mvgen)
PYTHON ?= $(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,python3)

OUT     ?= out/stages
VIEWS   ?= 8
ARC     ?= 110
SIZE    ?= 640x480
FORMATS ?= obj ply stl

MADE   := $(OUT)/photos
IMAGES ?= $(MADE)/images
PHOTOS := $(if $(filter $(MADE)/images,$(IMAGES)),$(MADE)/meta.json) $(wildcard $(IMAGES)/*)
SCENE  := $(OUT)/scene
MODEL  := $(OUT)/model.glb
OTHERS := $(addprefix $(OUT)/model.,$(FORMATS))

.DELETE_ON_ERROR:
.PHONY: all scene model clean

all: $(MODEL) $(OTHERS)
scene: $(SCENE)/scene.json
model: $(MODEL)

$(MADE)/meta.json: $(HERE)/make_photos.py $(HERE)/still_life.py
	$(PYTHON) $< $(MADE) --views $(VIEWS) --arc $(ARC) --size $(SIZE)

# Photos and depth maps are there only after their step has run once; from then on each of them counts.
$(SCENE)/scene.json: $(PHOTOS)
	@mkdir -p $(OUT)/work
	$(MVGEN) reconstruct $(IMAGES) -o $(SCENE) --stop-after stereo --checkpoint $(OUT)/work/scene

$(MODEL): $(SCENE)/scene.json $(wildcard $(SCENE)/depth/*.npz)
	@mkdir -p $(OUT)/work
	$(MVGEN) reconstruct $(SCENE) --from fusion -o $@ --checkpoint $(OUT)/work/model

$(OTHERS): $(MODEL)
	$(MVGEN) convert $< -o $@

clean:
	rm -rf $(OUT)
