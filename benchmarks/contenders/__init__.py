"""The same small API in the usual designs. Each module is an ASGI app for uvicorn; node/ and go/ have the others.

Partywall itself is `api.main:app`, unchanged. All get DATABASE_URL, libpq's variables and JWT_SECRET from the
environment, and have ten connections per worker. Those in Python have the same settings of uvicorn.
"""

import os

DATABASE_URL = os.environ["DATABASE_URL"]
JWT_SECRET = os.environ["JWT_SECRET"]
POOL_SIZE = 10  # the default of DATABASE_POOL_SIZE
