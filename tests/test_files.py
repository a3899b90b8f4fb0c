"""Files that are whole or not there, and folders with checksums."""

import numpy as np
import pytest
from conftest import DAMAGES, damage

from symspectra import files
from symspectra.errors import DataError


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.written(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), files.written(path) as temporary:
        temporary.write_text("tw")
        raise KeyboardInterrupt
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


def test_a_folder_replaces_the_one_before(tmp_path):
    for name in ("a", "b"):
        with files.written(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "b"]


def test_the_space_of_an_array_is_taken_at_once(tmp_path, monkeypatch):
    array = files.new_array(tmp_path / "a.npy", np.float16, (100, 5, 600))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= array.nbytes and not array.any()
    np.save(tmp_path / "b.npy", np.zeros((100, 5, 600), np.float16))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        files.new_array(tmp_path / "c.npy", np.float16, (100, 5, 600))


def test_checksums_are_computed_once_and_again_after_a_change(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("one")
    files.write_manifest(tmp_path, {"kind": "test"})
    computed, digest = [], files.digest
    monkeypatch.setattr(files, "digest", lambda path: computed.append(path) or digest(path))
    assert files.check(tmp_path) == files.check(tmp_path) and len(computed) == 1
    (tmp_path / "a").write_text("won")
    with pytest.raises(DataError, match=f"{tmp_path / 'a'}: .*do this"):
        files.check(tmp_path, "do this")


@pytest.mark.parametrize("name", [files.MANIFEST, files.SEAL])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_manifest_or_seal_is_named(tmp_path, name, kind):
    (tmp_path / "a").write_text("one")
    files.write_manifest(tmp_path, {"kind": "test"})
    damage(tmp_path / name, kind)
    with pytest.raises(DataError, match=name):
        files.check(tmp_path)


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left.*out"), files.written(tmp_path / "out") as path:
        path.write_text("half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_cut_manifest_is_named_and_not_its_seal(tmp_path):
    (tmp_path / files.MANIFEST).write_text('{"shards": [')
    with pytest.raises(DataError, match=f"{files.MANIFEST}: cannot be read"):  # line lists have no seal
        files.check(tmp_path)
