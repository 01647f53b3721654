"""Accuracy on real data: forecasts of two slopes, detectors on SKAB valve1 and the NAB subset.

Everything is fixed before the last block is looked at: features, recipes and thresholds come from
what was before it. Rolling origin, five seeds (two with --quick), every baseline on the same rows.

  python benchmarks/accuracy.py --data ../shared/data --json accuracy.json
      with --markdown docs/accuracy.md --png docs/accuracy.png: the page and its picture
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from figures import machine, parse, write

if TYPE_CHECKING:
    from accuracy_forecast import Study

BAZIMEN_BLOCKS = tuple(slice(12 * year - 1, 12 * year + 11) for year in (3, 4, 5))
"""Origins December to November: the twelve months of 2010, 2011 and 2012, each a block."""
LAMOSANO_BLOCKS = (slice(77, 94), slice(94, 111), slice(111, 126))


class Told:
    """Progress in lines: this runs for minutes."""

    def stage(self, name: str, total: int) -> None:
        """Say what begins."""
        print(f"  {name}", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say it."""
        print(f"  {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Run all of it."""
    args = parse(__doc__, data=True, markdown=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    warnings.filterwarnings("ignore")
    from accuracy_detect import nab, skab
    from accuracy_forecast import pooled, study
    from accuracy_page import draw, markdown

    seeds = 2 if args.quick else 5
    print(machine())
    studies: tuple[Study, ...] = (
        study("bazimen", args.data, seeds, BAZIMEN_BLOCKS, Told()),
        study("lamosano", args.data, seeds, LAMOSANO_BLOCKS, Told()),
    )
    zg111, lamosano = studies[0].last, studies[1].skills[0]
    naive = dict(zg111.naive)
    figures = {
        "zg111_rmse_mm": zg111.rmse,
        "zg111_seasonal_naive_rmse_mm": naive["seasonal"],
        "zg111_persistence_rmse_mm": naive["persistence"],
        "lamosano_skill": lamosano.skill,
        **pooled(studies),
    }
    found_skab, skab_rows = skab(args.data, seeds, quick=args.quick)
    found_nab, nab_rows = nab(args.data, quick=args.quick)
    figures |= found_skab | found_nab
    text = markdown(studies, skab_rows, nab_rows, figures, seeds)
    print(text)
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8")
    if args.png is not None:
        draw(studies, skab_rows, args.png)
    write(figures, args.json)


if __name__ == "__main__":
    main()
