"""A tagger as an HTTP service with a page, for many clients at a time.

It needs the extra ``serve``: FastAPI, uvicorn and prometheus_client.
"""

from llamaner.service.application import create_app
from llamaner.service.keys import ApiKeys, read_api_keys
from llamaner.service.server import serve

__all__ = ["ApiKeys", "create_app", "read_api_keys", "serve"]
