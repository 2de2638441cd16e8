"""The same small API, built in the ways that people build it. Each module is an ASGI app for uvicorn.

Partywall itself is `api.main:app`, as it is shipped. All get DATABASE_URL and JWT_SECRET from the environment, ten
connections per worker, and the same settings of uvicorn.
"""

import os

DATABASE_URL = os.environ["DATABASE_URL"]
JWT_SECRET = os.environ["JWT_SECRET"]
POOL_SIZE = 10  # what DATABASE_POOL_SIZE is by default
