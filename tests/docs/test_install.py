"""conclus is installed from a folder of wheels alone, as docs/cluster.md shows it, and runs a study."""

import os
import subprocess
import sysconfig

import pytest
import yaml

from tests.docs.pages import blocks


@pytest.mark.slow
def test_a_folder_of_wheels_is_all_that_an_installation_needs(root, tmp_path):
    """Of conclus itself; torch and the others lie in the tests' own environment, where pip finds them installed."""
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path / "wheelhouse", root], check=True)
    (tmp_path / "studies").mkdir()
    study = yaml.safe_load((root / "studies" / "quickstart.yaml").read_text()) | {"seeds": [0]}
    study["trial"] |= {"epochs": 1, "encoder": {"name": "mlp", "widths": [8]}}
    (tmp_path / "studies" / "quickstart.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    (install,) = (one.text for one in blocks(root / "docs" / "cluster.md") if "--no-index" in one.text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "VIRTUAL_ENV"))}
    own = kept | {"HOME": str(tmp_path), "PYTHONPATH": sysconfig.get_path("purelib"), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(["bash", "-ec", install], cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 8 trials are done" in done.stderr
    where = [tmp_path / ".conclus" / "bin" / "python", "-c", "import conclus; print(conclus.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=own, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(tmp_path / ".conclus"))
