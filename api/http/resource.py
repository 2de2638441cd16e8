"""What a resource is to the app: `api/main.py` has the list of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import APIRouter

from api.http.examples import Problems
from api.http.problems import Constraints


class Resource(NamedTuple):
    """A resource: a folder whose files have the same names in every resource."""

    name: str  # of its routes, in the OpenAPI document
    description: str
    routers: Sequence[APIRouter]  # of two routes that match a request, the first one responds
    examples: Mapping[str, Any]  # by the name of the schema
    problems: Mapping[int, Problems] = MappingProxyType({})  # examples of its errors, by status
    constraints: Constraints = MappingProxyType({})
