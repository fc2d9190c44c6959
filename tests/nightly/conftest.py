"""What the long forms share with the short ones."""

from tests.faults.conftest import files, stages, truing  # noqa: F401
from tests.faults.test_processes import several  # noqa: F401
