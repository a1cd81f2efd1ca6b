"""What holds for every folder of tests."""

import pytest

# It asserts, is no test module, and more than one folder uses it.
pytest.register_assert_rewrite("smtp.arena")
