"""Prints Matomo's collection of User-Agents, one JSON object per line.

Each has the kind of device by Matomo, and browser and operating system by uap-core.
"""

import importlib.util
import json
import sys
from pathlib import Path

import ua_parser
import yaml

KINDS = {
    "tv": "tv",
    "smartphone": "phone",
    "phablet": "phone",
    "feature phone": "phone",
    "tablet": "tablet",
    "desktop": "computer",
    "console": "console",
}

package = Path(importlib.util.find_spec("device_detector").origin).parent
for file in sorted(package.glob("tests/fixtures/upstream/*.yml")):
    for entry in yaml.load(file.read_text("utf-8"), yaml.CSafeLoader):
        kind = KINDS.get((entry.get("device") or {}).get("type"))
        if kind:
            found = ua_parser.parse(entry["user_agent"])
            browser = found.user_agent and found.user_agent.family
            os = found.os and found.os.family
            line = {"user_agent": entry["user_agent"], "kind": kind, "browser": browser, "os": os}
            json.dump(line, sys.stdout)
            print()
