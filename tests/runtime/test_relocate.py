"""A store that was moved with its project finds its artifacts again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mnflow.runtime.relocate import current_place, former_root, relocate
from mnflow.track.connection import prepare_store


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a store that holds one artifact and the tag of a folder."""
    root = tmp_path / "old place"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    prepare_store(f"sqlite:///{root}/mlflow.db")
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    run = client.create_run("0", tags={"mnflow.folder": f"{root}/data", "other": f"{root}/data"})
    client.log_text(run.info.run_id, "found", "note.txt")
    return root


def text_in(root: Path) -> str:
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    (run,) = client.search_runs(["0"])
    assert run.data.tags["mnflow.folder"] == f"{root}/data"
    return Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("put", [shutil.move, shutil.copytree])
def test_a_moved_and_a_copied_store_use_their_own_artifacts(made: Path, put: object) -> None:
    new = made.with_name("new place")
    put(made, new)  # type: ignore[operator]
    assert relocate(f"sqlite:///{new}/mlflow.db", new) == made
    (note,) = (new / "mlruns").rglob("note.txt")
    note.write_text("of the new place")
    assert text_in(new) == "of the new place"


@pytest.mark.slow
def test_a_store_in_its_own_place_is_left_alone(made: Path) -> None:
    assert relocate(f"sqlite:///{made}/mlflow.db", made) is None
    assert text_in(made) == "found"


def _database(root: Path, *locations: str | None) -> sqlite3.Connection:
    """A store with experiments at these places, numbered from 0 and written last first."""
    connection = sqlite3.connect(root / "mlflow.db")
    with connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        rows = list(enumerate(locations))[::-1]
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
    return connection


@pytest.mark.parametrize(
    ("locations", "named"),
    [
        (("/old/mlruns/0",), "/old"),
        (("file:///old%20place/mlruns/0",), "/old place"),
        ((None, "mlflow-artifacts:/1", "relative/mlruns/2", "/bucket/3", "/old/mlruns/0"), "/old"),
        (("/first/mlruns/0", "/second/mlruns/0"), "/first"),
        (("{root}/mlruns/0", "/old/mlruns/0"), "/old"),
        (("/bucket/0", "{root}/mlruns/1", None), None),
        (("{root}/still there/mlruns/7",), None),
        (("{root}/still there/mlruns/0",), "{root}/still there"),
        (("{root}/gone/mlruns/7",), "{root}/gone"),
    ],
)
def test_the_folder_that_experiments_name_is_former_if_this_one_has_their_artifacts(
    locations: tuple[str | None, ...], named: str | None, tmp_path: Path
) -> None:
    for folder in ("mlruns/0", "still there/mlruns/0", "still there/mlruns/7"):
        (tmp_path / folder).mkdir(parents=True)
    places = [x and x.format(root=tmp_path) for x in locations]
    with closing(_database(tmp_path, *places)) as connection:
        found = former_root(connection, tmp_path)
        assert found == (Path(named.format(root=tmp_path)) if named else None)
        inside, outside = Path("/old/mlruns/0/a/b.txt"), Path("/older/mlruns/0/a/b.txt")
        moved = tmp_path / "mlruns" / "0" / "a" / "b.txt" if named == "/old" else inside
        assert current_place(inside, connection, tmp_path) == moved
        assert current_place(outside, connection, tmp_path) == outside


def test_every_address_is_rewritten_and_nothing_else(tmp_path: Path) -> None:
    before = [
        "/old place/a",
        "file:///old%20place/a",
        "/old places/a",
        "s3://x/old place/a",
        "/old place",
        None,
    ]
    new = tmp_path.as_uri()
    after = [f"{tmp_path}/a", f"{new}/a", *before[2:]]
    columns = {"runs": ["artifact_uri"], "model_versions": ["source", "storage_location"]}  # an older MLflow
    with closing(_database(tmp_path, "/old place/mlruns/0")) as connection, connection:
        for table, names in columns.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(names)}, name)")
            marks = ", ".join("?" * (len(names) + 1))
            connection.executemany(
                f"INSERT INTO {table} VALUES ({marks})", [[x] * (len(names) + 1) for x in before]
            )
        connection.execute("CREATE TABLE tags (key, value)")
        tags = [("mnflow.folder", "/old place/data"), ("other", "/old place/data")]
        connection.executemany("INSERT INTO tags VALUES (?, ?)", tags)
    assert relocate(f"sqlite:///{tmp_path}/mlflow.db", tmp_path) == Path("/old place")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        for table, names in columns.items():
            for name in names:
                assert [x for (x,) in connection.execute(f"SELECT {name} FROM {table}")] == after
            assert [x for (x,) in connection.execute(f"SELECT name FROM {table}")] == before
        assert connection.execute("SELECT * FROM experiments").fetchall() == [(0, f"{tmp_path}/mlruns/0")]
        assert connection.execute("SELECT * FROM tags").fetchall() == [
            ("mnflow.folder", f"{tmp_path}/data"), tags[1]
        ]  # fmt: skip
    assert relocate(f"sqlite:///{tmp_path}/mlflow.db", tmp_path) is None


def test_a_store_that_is_no_database_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    _database(tmp_path, "/old/mlruns/0").close()
    for uri, root in (
        (f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "elsewhere"),
        (f"sqlite:///{tmp_path}/none.db", tmp_path),
        (str(tmp_path / "mlflow.db"), tmp_path),
        ("http://127.0.0.1:1", tmp_path),
    ):
        assert relocate(uri, root) is None
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["mlflow.db"]
    (tmp_path / "link").symlink_to(tmp_path)
    assert relocate(f"sqlite:///{tmp_path}/link/mlflow.db", tmp_path) == Path("/old")
