"""`mnflow selftest`: the shipped model must answer stored spectra as it did when it was made."""

import argparse
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the stored spectra; prints a line and returns 1 if an answer differs."""
    parser = argparse.ArgumentParser(prog="mnflow selftest", description=__doc__)
    parser.add_argument("--card", action="store_true", help="show the shipped model's card instead")
    if parser.parse_args(argv).card:
        from mnflow.pretrained.card import card_path

        print(card_path().read_text(encoding="utf-8"))
        return 0
    from mnflow.pretrained.stored_answers import TOLERANCE, differences, load_stored

    stored = load_stored()
    wrong = differences(stored, TOLERANCE)
    for line in wrong:
        print(f"differs  {line}")
    n = len(stored.answers)
    print(
        f"{n - len({line.split(':')[0] for line in wrong})} of {n} stored answers agree within {TOLERANCE:g}."
    )
    return int(bool(wrong))
