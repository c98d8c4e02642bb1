"""Methods x tasks x seeds, trained and measured alike: ``timm-mergemix bench --train``, as a script.

python benchmarks/compare.py --tasks fashion mnist --methods none timm mergemix --seeds 0 1 2 --jobs 2 --out runs
"""

import sys

from timm_mergemix.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--train", *sys.argv[1:]]))
