"""One readable settings file: mistakes in it give clear errors."""

import pytest

from mnflow.errors import InputError
from mnflow.simulate.settings import SETTINGS, is_shipped, load, settings_of
from mnflow.spectra import MN

DEFAULT = (SETTINGS / "mn.toml").read_text()


def test_the_default_is_manganese_with_the_projects_edge():
    assert load().edge == MN
    assert settings_of("Mn") == load()
    assert [is_shipped(element) for element in ("Mn", "Fe", "Ti", "Zn")] == [True, True, True, False]


@pytest.mark.parametrize("path", sorted(SETTINGS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_settings_load_by_file_and_by_name(path):
    from pathlib import Path

    assert load(path) == load(Path(path.stem))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ten_dq = [0.5, 1.2]",
            "ten_dq = [1.2, 0.5]",
            r"site: ten_dq: expected .* low <= high, got \[1.2, 0.5\]",
        ),
        ("ten_dq = [0.5, 1.2]", "ten_dq = 1.2", "site: ten_dq: expected a range"),
        ("ten_dq = [0.5, 1.2]", "ten_dq = [0.5, 1.2]\ntypo = 1", "site: typo is unknown or missing"),
        ("ten_dq = [0.5, 1.2]", "", "ten_dq is unknown or missing"),
        ("images = 10", 'images = "ten"', "valence: images: expected int, got 'ten'"),
        ("images = 10", "images = inf", "expected a finite number, got inf"),
        ("ten_dq = [0.5, 1.2]", "ten_dq = [nan, 1.2]", "site: ten_dq: expected a finite number, got nan"),
        ("ten_dq = [0.5, 1.2]", f"ten_dq = [0.5, 1{'0' * 400}]", "expected a finite number, got 1000"),
        ('name = "Mn2+"', 'name = "Fe2+"', "must be named"),
        ("[specimen]", "[specimen", "cannot be read"),
    ],
)
def test_wrong_settings_are_named(tmp_path, old, new, message):
    path = tmp_path / "mine.toml"
    assert old in DEFAULT
    path.write_text(DEFAULT.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"mine\.toml.*{message}"):
        load(path)


def test_a_missing_file_lists_what_is_shipped(tmp_path):
    with pytest.raises(InputError, match=r"shipped:.*mn"):
        load(tmp_path / "none.toml")


def test_a_number_of_thousands_of_digits_is_refused(tmp_path):  # found by `make fuzz`
    path = tmp_path / "s.toml"
    path.write_text("library_seed = " + "9" * 5000)
    with pytest.raises(InputError, match="cannot be read"):
        load(path)
