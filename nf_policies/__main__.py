"""python -m nf_policies: the command line."""

import sys

from nf_policies.cli import main

sys.exit(main())
