"""The suite: a real PostgreSQL, the real roles, real tokens, real HTTP."""

import pytest

pytest.register_assert_rewrite("tests.support")  # its assertions explain themselves too
