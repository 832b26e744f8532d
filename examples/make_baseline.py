"""Keep of a report of `mvgen eval` (named as the argument) the scores worth guarding, on standard output.

Errors so small that they differ from machine to machine, such as those of the cameras, are left out.
"""

import json
import sys
from pathlib import Path

GUARDED = ("f_score@0.5%", "f_score@1%", "f_score@2%", "normal_consistency", "registered", "psnr", "ssim", "coverage")

metrics = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["metrics"]
print(json.dumps({"metrics": {name: round(metrics[name], 4) for name in GUARDED}}, indent=1))
