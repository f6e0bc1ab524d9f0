"""An engine that runs one job after the other, a line of JSON each, for those who run thousands of them."""

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
import bootstrap

bootstrap.load()
from subpixel.engine import main

if __name__ == "__main__":
    main.leave_a_core()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def tell(message):
        answers.write(main.line_of(message))

    for line in sys.stdin:
        try:
            tell({"result": main.run(json.loads(line), tell)})
        except Exception as error:
            tell(main.failure(error))
