"""${message}

What it is for, and what an old release sees of it while both run.
"""

from migrations.sql import run

revision = "${up_revision}"
down_revision = ${repr(down_revision)}

UP = """
"""

DOWN = """
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)
