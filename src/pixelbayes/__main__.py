"""`python -m pixelbayes` is the command `pixelbayes`."""

import sys

from pixelbayes.cli.main import main

sys.exit(main())
