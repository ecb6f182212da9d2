"""`python -m services.community.migrations [platform|community …]`: the schema of the own database.

Without arguments everything is applied. Before a split only `platform` is needed: the split brings
the tables of the domain.
"""

from __future__ import annotations

import sys

from shared.placement.migrations import run_migrations

if __name__ == "__main__":
    sys.exit(run_migrations("services.community"))
