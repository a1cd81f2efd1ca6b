"""`python -m trial` is the demo."""

import sys

from trial.demo import main

sys.exit(main())
