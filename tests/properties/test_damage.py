"""Damaged files are seen: by every reader, whatever was damaged."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import damage
from core.seal import is_sealed_text, seal, seal_json, seal_text, unseal, unseal_json
from core.training.state import TrainingState
from jobs.results import compact, header, kept, peek, reader, writer
from jobs.results.header import HeaderRow
from jobs.results.schema import Attempt, to_table


def attempt(number=0, **values):
    own = {"trial_key": f"t{number}", "config_key": "c", "seed": number, "attempt_id": "A", "status": "ok"}
    return Attempt(study="s", metrics={"nmi": 0.25 + number}, **own | values)


def older(folder, *numbers, place="trials"):
    """Rows as conclus 0.1.0 wrote them: without a digest, and with the column `study`."""
    table = to_table([attempt(number) for number in numbers])
    about = {"schema_version": 1, "rows": [[f"t{number}", "A", "ok"] for number in numbers]}
    path = folder / "study=s" / place / f"t{numbers[0]}.A.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, table.schema, store_schema=False) as file:
        file.write_table(table)
        file.add_key_value_metadata({"conclus": json.dumps(about, separators=(",", ":"))})
    return path


def test_no_damage_to_any_kind_of_file_is_silent_or_a_traceback(tmp_path):
    found = damage.survey(1080, 5, tmp_path)
    assert {name for name, *_ in found} >= {
        "attempt's file",
        "compacted file",
        "clusters",
        "checkpoint",
        "best_model.pt",
        "_study.json",
        "_study.yaml",
        "_job.json",
        "exchange",
        "queue: .json",
        "queue: .keys",
        "queue: .yaml",
    }
    wrong = {key: count for key, count in found.items() if key[2] in {damage.SILENT, damage.TRACEBACK}}
    assert wrong == {}
    assert all(found[name, "flip", damage.SEEN] > 40 for name, *_ in found)


WITHOUT = """
import sys
from pathlib import Path
from benchmarks import damage
from jobs.results import header
header._digest = lambda file, place: file[place : place + 64]
print(damage.survey(900, 5, Path(sys.argv[1]))["attempt's file", "flip", damage.SILENT])
"""


def test_without_the_digests_damage_would_pass(tmp_path, root):
    # In a process of its own: some damage ends the one that reads it.
    command = [sys.executable, "-c", WITHOUT, tmp_path]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode < 0 or int(done.stdout.split()[-1]) > 10, done.stderr


def test_a_damaged_row_is_missing_told_and_left_where_it_is(tmp_path):
    whole, broken = (Path(str(writer.write(str(tmp_path), attempt(number)))) for number in range(2))
    content = bytearray(broken.read_bytes())
    at = content.find(np_bytes(1.25))
    content[at + 6] ^= 0x08
    broken.write_bytes(content)
    assert pq.read_table(broken)["metric.nmi"].to_pylist() != [1.25]  # the flip hit the score
    for _ in range(2):
        loaded, seen = reader.load(str(tmp_path)), peek.statuses(str(tmp_path), "s")
        assert loaded.table["metric.nmi"].to_pylist() == [0.25]
        assert loaded.skipped == seen.skipped
        assert f"{broken} is skipped" in loaded.skipped[0]
        assert seen.statuses == {"t0": "ok"}
        compact.compact(str(tmp_path))
    assert broken.read_bytes() == content
    assert not whole.exists()  # compaction took the whole one


def np_bytes(value):
    return pa.array([value], pa.float64()).buffers()[1].to_pybytes()[:8]


def test_rows_of_the_first_version_are_read_and_told_in_one_sentence(tmp_path):
    for number in range(3):
        older(tmp_path, number)
    writer.write(str(tmp_path), attempt(3))
    loaded, seen = reader.load(str(tmp_path)), peek.statuses(str(tmp_path), "s")
    assert loaded.table["metric.nmi"].to_pylist() == [0.25, 1.25, 2.25, 3.25]
    assert loaded.table["study"].to_pylist() == ["s"] * 4
    assert (loaded.skipped, len(loaded.notes), len(seen.skipped)) == ([], 1, 1)
    assert "3 files hold no digest" in loaded.notes[0]
    assert "3 files hold no digest" in seen.skipped[0]
    compact.compact(str(tmp_path))
    assert reader.load(str(tmp_path)).notes == []


def test_compaction_writes_parts_of_the_first_version_anew_with_a_digest(tmp_path):
    part = older(tmp_path, 0, 1, place="compact")
    writer.write(str(tmp_path), attempt(2))
    before = reader.load(str(tmp_path), history=True)
    assert len(before.notes) == 1
    compact.compact(str(tmp_path))
    assert not part.exists()
    after = reader.load(str(tmp_path), history=True)
    assert after.table.equals(before.table)
    assert (after.notes, after.skipped) == ([], [])
    files = sorted((tmp_path / "study=s" / "compact").iterdir())
    compact.compact(str(tmp_path))
    assert sorted((tmp_path / "study=s" / "compact").iterdir()) == files  # those with a digest stay


def test_a_damaged_part_of_the_first_version_stays(tmp_path):
    part = older(tmp_path, 0, 1, place="compact")
    part.write_bytes(content := part.read_bytes()[:-3])
    (done,) = compact.compact(str(tmp_path))
    assert (done.rows, len(done.skipped)) == (0, 1)
    assert part.read_bytes() == content


def test_no_flip_in_its_header_makes_a_file_of_today_one_without_a_digest(tmp_path):
    content = Path(str(writer.write(str(tmp_path), attempt()))).read_bytes()
    begin = content.rfind(b"\x07conclus")
    chance = random.Random(3)
    for _ in range(4000):
        other = bytearray(content)
        other[chance.randrange(begin, len(content))] ^= 1 << chance.randrange(8)
        try:
            found = header.read(bytes(other))
        except (ValueError, IndexError):
            continue
        assert found is None  # no header: a file of somebody else, which is told, too


@pytest.mark.parametrize(
    "about",
    [
        {"schema_version": 2, "rows": []},
        {"schema_version": 1, "rows": [], "study": "s"},
        {"version": 2, "study": "s", "rows": []},
        {"schema_version": 1, "rows": [["t0", "A", 5]]},
        [1],
        "[" * 100_000,
    ],
)
def test_a_header_without_a_digest_is_that_of_the_first_version_to_the_letter(tmp_path, about):
    path = tmp_path / "x.parquet"
    with pq.ParquetWriter(path, (table := pa.table({"a": [1.0]})).schema, store_schema=False) as file:
        file.write_table(table)
        file.add_key_value_metadata({"conclus": about if isinstance(about, str) else json.dumps(about)})
    with pytest.raises(ValueError, match="is skipped"):
        peek.read_header(str(path))


def test_a_sealed_file_is_its_digest_of_everything(tmp_path):
    path = Path(str(writer.write(str(tmp_path), attempt())))
    found = header.read(path.read_bytes())
    assert found == ([HeaderRow("t0", "A", "ok")], "s", True)
    with pytest.raises(ValueError, match="digest"):
        header.read(b"x" + path.read_bytes())


def test_seals_give_back_what_they_were_given():
    assert unseal(seal(b"\x00content\n")) == b"\x00content\n"
    content = {"a": 1.5, "b": [None, {"c": "é"}]}
    assert unseal_json(seal_json(content)) == content
    assert unseal_json(b'{"a": 1}') == {"a": 1}  # as conclus 0.1.0 wrote it
    for text in (b"[1]", b'{"sealed": 1, "a": 1}', b'{"sha256": "0", "a": 1}', b"[" * 100_000, b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            unseal_json(text)


def test_a_text_after_its_digest_is_whole_or_refused():
    text = seal_text(b"a: 1\n")
    assert is_sealed_text(text)
    assert text.endswith(b"\na: 1\n")
    assert not is_sealed_text(b"a: 1\n")
    for other in (text[:-1], text + b"b: 2\n", text.replace(b"1\n", b"3\n"), text.replace(b"edit", b"read")):
        with pytest.raises(ValueError, match="damaged or was edited"):
            is_sealed_text(other)


GOOD = {
    "origin": {"trial_key": "t"},
    "seconds": 1.0,
    "label_free": 0.5,
    "attempt": kept.of_attempt(attempt(seconds=1.0)),
}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("attempt", None),
        ("attempt", GOOD["attempt"] | {"status": "ok"}),  # one that no successor takes over
        ("attempt", GOOD["attempt"] | {"seconds": "1"}),
        ("attempt", GOOD["attempt"] | {"epochs_done": True}),
        ("attempt", GOOD["attempt"] | {"metrics": {"nmi": "high"}}),
        ("attempt", GOOD["attempt"] | {"history": [(1, 2.0, 3, 4.0)]}),
        ("attempt", GOOD["attempt"] | {"cluster_sizes": [0.5]}),
        ("seconds", None),
        ("label_free", "x"),
        ("origin", []),
    ],
)
def test_a_checkpoint_restores_known_parts_of_the_right_type_alone(part, value):
    assert kept.read(GOOD).attempt["metrics"] == {"nmi": 0.25}
    with pytest.raises(ValueError, match=r"."):
        kept.read(GOOD | {part: value})


def test_a_state_without_a_digest_is_refused():
    content = TrainingState(1, {}, {}, None).to_bytes(seconds=1.0)
    assert TrainingState.from_bytes(content)[1] == {"seconds": 1.0}
    with pytest.raises(ValueError, match="no digest"):
        TrainingState.from_bytes(unseal(content))
