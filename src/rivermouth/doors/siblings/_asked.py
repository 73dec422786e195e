"""What an endpoint gets of a request: the services, who asks, and the body, each as a dependency that FastAPI resolves.

Bodies are read here and not by FastAPI, so that who asks is settled before what they say, a missing Content-Type is read as
JSON, and what no chat route would take (a lone surrogate, bytes that are no UTF-8) is refused in the same words.
"""

import re
from typing import Annotated, Any, LiteralString, cast, get_args

import msgspec
from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from rivermouth.clock import Clock
from rivermouth.dialects import Incoming, Scheme, _request
from rivermouth.doors import http
from rivermouth.engine.auth import Auth, Principal
from rivermouth.engine.intake import Intake
from rivermouth.engine.limits import Limiter
from rivermouth.engine.runs import Runs
from rivermouth.errors import BadRequest, Place
from rivermouth.settings import Settings
from rivermouth.stores import Rows

YEAR = 31_536_000


class Services(msgspec.Struct, frozen=True):
    """What the endpoints stand on."""

    settings: Settings
    auth: Auth
    limiter: Limiter
    rows: Rows
    runs: Runs
    clock: Clock
    intake: Intake | None = None


class Taken(BaseModel):
    """A request's body: a string is a string, a number a number; what is not known is not looked at."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Given(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


class Json:
    """A dependency: the body as the model, all of it checked. optional: no body at all is an empty object."""

    def __init__(self, model: type[Taken], *, optional: bool = False) -> None:
        self.model, self.optional = model, optional

    def __call__(self, request: Request) -> Any:
        """Raises: BadRequest naming the field, UnsupportedMedia."""
        asked = asked_of(request)
        if self.optional and not asked.body.strip():
            return self.model()
        incoming = Incoming(path=asked.path, headers=asked.headers, body=asked.body)
        try:
            return self.model.model_validate(_request.json_object(incoming))
        except ValidationError as error:
            raise bad_request(
                cast(list[dict[str, Any]], error.errors(include_url=False, include_context=False))
            ) from None


class Caller:
    """A dependency: who asks. Counts nothing; that is the endpoint's business."""

    def __init__(self, system: str, *schemes: Scheme, required: bool = True) -> None:
        self.system, self.schemes, self.required = system, schemes, required

    async def __call__(self, request: Request, response: Response) -> Principal:
        """The principal; an anonymous one is given a cookie to be known by. Raises: Unauthenticated."""
        asked, auth = asked_of(request), services_of(request).auth
        if self.required or asked.authorization is not None:
            who = await auth.authenticate(self.system, self.schemes, asked.authorization, asked.address)
        else:
            who = auth.anonymous(self.system, asked.address, asked.cookie)
            if who.id.startswith("addr:"):
                value = auth.anonymous_cookie(asked.address)
                response.set_cookie(http.COOKIE, value, max_age=YEAR, httponly=True, samesite="lax")
        asked.seen.principal = who.id
        return who


def services_of(request: Request) -> Services:
    """What `build` was given."""
    return cast(Services, request.app.state.services)


def asked_of(request: Request) -> http.Request:
    """The request as the server's own doors see it, with its body."""
    return cast(http.Request, request.state.request)


def bad_request(errors: list[dict[str, Any]]) -> BadRequest:
    """pydantic's first finding in our words. Its place may begin with where FastAPI looked: `query`, `path`."""
    first = errors[0]
    steps = [str(step) for step in first["loc"]]
    place: Place = "body"
    if steps and steps[0] in get_args(Place):
        place = cast(Place, steps.pop(0))
    field = ".".join(steps)
    message = f"{field}: {first['msg']}" if field else first["msg"]
    return BadRequest(message, field=field, value_type=first["type"], place=place)


async def by_address(request: Request) -> None:
    """A dependency of all of ares: its limit per address. Raises: TooMany."""
    await services_of(request).limiter.admit("ares", "chat", asked_of(request).address)


def shaped(pattern: str, words: LiteralString) -> AfterValidator:
    """A check of a string's form; who does not keep it is told `words`, and not the pattern."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise PydanticCustomError("string_pattern_mismatch", words)
        return text

    return AfterValidator(check)


Use = Annotated[Services, Depends(services_of)]
Asked = Annotated[http.Request, Depends(asked_of)]
Id = Annotated[str, Path(description="The conversation's id, percent-encoded.", examples=["default"])]
Limit = Annotated[int, Query(ge=1, le=1000, description="The most entries to answer with.", examples=[50])]
Offset = Annotated[int, Query(ge=0, lt=2**31, description="How many entries to leave out.", examples=[0])]

Name = Annotated[str, Field(min_length=1, max_length=255)]
ADDRESS = r"^[^@\s]+@[^@\s]+$"
Email = Annotated[
    str,
    shaped(ADDRESS, "it is an address such as ada@example.org"),
    Field(
        max_length=254,
        json_schema_extra={"pattern": ADDRESS},
        description="The address to sign in with.",
        examples=["ada@example.org"],
    ),
]
Title = Annotated[str, Field(min_length=1, max_length=255, description="What lists show.", examples=["Rivers"])]
