"""One tree of errors: the client's fault, the provider's fault, ours.

    RivermouthError
    ├── ClientFault
    │   ├── BadRequest 400 · Unauthenticated 401 · Forbidden 403 · NotFound 404 · MethodNotAllowed 405
    │   ├── Conflict 409 · Gone 410 · TooLarge 413 · UnsupportedMedia 415 · NothingHeard 422 · TooMany 429
    │   └── NoRoom 400 · WrongLogin 401 (an Unauthenticated)
    ├── ProviderFault
    │   ├── ProviderUnreachable 502 · ProviderRefused 502 · ProviderBroken 502
    │   └── ProviderOverloaded 503 · ProviderSilent 504
    └── ServerFault
        └── NoTranscriber 501 · NoModel 503 · Unavailable 503 · Interrupted 503 · Internal 500

Each has a stable snake_case `code`, an HTTP `status` and a message that names the bad value and the fix. Messages are
written for the person at the other end: no secret and no word of a provider's own text is ever in one.
"""

from typing import ClassVar, Literal

import msgspec

Place = Literal["body", "query", "path", "header"]
"""Where in a request something stands."""


class RivermouthError(Exception):
    """Anything this server tells a client went wrong."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds after which trying again makes sense, where that is known."""


class ClientFault(RivermouthError):
    """The request cannot be served as it is."""

    code = "bad_request"
    status = 400


class BadRequest(ClientFault):
    """A body, a query or a header that does not fit; `field` names the offender ('' for the whole body)."""

    def __init__(
        self, message: str, *, field: str = "", value_type: str = "value_error", place: Place = "body"
    ) -> None:
        super().__init__(message)
        self.field, self.place = field, place
        self.value_type = value_type
        """What kind of wrong: `missing`, `json_invalid`, `string_type`, `string_too_long`, … (pydantic's words)."""


class Unauthenticated(ClientFault):
    """No credential, or one that does not hold."""

    code = "unauthenticated"
    status = 401
    Reason = Literal["missing", "malformed", "invalid", "expired", "revoked"]

    def __init__(self, message: str, *, reason: Reason = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class WrongLogin(Unauthenticated):
    """No such account, or not its password; which, is never said."""

    code = "wrong_login"


class Forbidden(ClientFault):
    """The credential holds but does not reach this far."""

    code = "forbidden"
    status = 403


class NotFound(ClientFault):
    """It does not exist, or is somebody else's: the two are never told apart."""

    code = "not_found"
    status = 404
    what: str = "resource"

    def __init__(self, message: str, *, what: str = "resource") -> None:
        super().__init__(message)
        self.what = what
        """`conversation`, `file`, `agent`, `run`, `path`, …"""


class MethodNotAllowed(ClientFault):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class Conflict(ClientFault):
    """It exists already, or something else holds it."""

    code = "conflict"
    status = 409


class Gone(ClientFault):
    """It was here, and its retention time is over; what it amounted to is at `message_address`."""

    code = "gone"
    status = 410

    def __init__(self, message: str, *, message_address: str) -> None:
        super().__init__(message)
        self.message_address = message_address


class TooLarge(ClientFault):
    """More bytes or tokens than the limit."""

    code = "too_large"
    status = 413


class UnsupportedMedia(ClientFault):
    """A media type that this path does not take."""

    code = "unsupported_media_type"
    status = 415


class NoRoom(ClientFault):
    """Somebody has as many files, or bytes of files, as they may."""

    code = "quota_exceeded"
    status = 400


class NothingHeard(ClientFault):
    """A recording in which no word could be made out."""

    code = "nothing_heard"
    status = 422


class TooMany(ClientFault):
    """A rate limit or a quota is used up.

    limit: requests per window; reset: seconds since the epoch at which the window ends.
    scope: which limit it was (`minute`, `hour`, `day`, `month`).
    """

    code = "rate_limited"
    status = 429

    def __init__(
        self, message: str, *, retry_after: float, limit: int = 0, reset: float = 0.0, scope: str = "minute"
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.limit = limit
        self.reset = reset
        self.scope = scope


class ProviderFault(RivermouthError):
    """The model's server did not do its part."""

    code = "provider_error"
    status = 502


class ProviderUnreachable(ProviderFault):
    """No connection to the model's server."""

    code = "provider_unreachable"


class ProviderRefused(ProviderFault):
    """The model's server answered 4xx; its status is in the message, and in `answered`."""

    code = "provider_refused"
    answered: int = 0

    def __init__(self, message: str, *, answered: int = 0) -> None:
        super().__init__(message)
        self.answered = answered


class ProviderBroken(ProviderFault):
    """The model's server broke off in the middle, or sent what cannot be read."""

    code = "provider_broken"


class ProviderOverloaded(ProviderFault):
    """The model's server answered 429 or 5xx."""

    code = "provider_overloaded"
    status = 503


class ProviderSilent(ProviderFault):
    """The model's server said nothing for longer than a timeout."""

    code = "provider_silent"
    status = 504


class ServerFault(RivermouthError):
    """Ours."""

    code = "internal"
    status = 500


class Internal(ServerFault):
    """A bug of ours; the log has the details, the wire never does."""


class NoTranscriber(ServerFault):
    """Nothing on this server makes text of speech."""

    code = "no_transcriber"
    status = 501


class NoModel(ServerFault):
    """No model is configured, or the built-in one is not there yet."""

    code = "no_model"
    status = 503


class Unavailable(ServerFault):
    """Shutting down, or unable to keep the log durable."""

    code = "unavailable"
    status = 503


class Interrupted(ServerFault):
    """The process that made this answer died or was told to go."""

    code = "interrupted"
    status = 503


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """An error as the log keeps it: what a watcher needs to tell its client, also after a restart."""

    code: str
    message: str
    status: int
    retry_after: float | None = None


def problem_of(error: RivermouthError) -> Problem:
    """The error as the log keeps it."""
    return Problem(error.code, error.message, error.status, error.retry_after)


def error_of(problem: Problem) -> RivermouthError:
    """The error that `problem_of` was given; one with an unknown code comes back as `Internal`."""
    kind = _BY_CODE.get(problem.code, Internal)
    error = kind.__new__(kind)
    RivermouthError.__init__(error, problem.message, retry_after=problem.retry_after)
    return error


_BY_CODE: dict[str, type[RivermouthError]] = {
    kind.code: kind
    for kind in (
        NotFound,
        TooLarge,
        NothingHeard,
        ProviderFault,
        ProviderUnreachable,
        ProviderRefused,
        ProviderBroken,
        ProviderOverloaded,
        ProviderSilent,
        NoTranscriber,
        NoModel,
        Unavailable,
        Interrupted,
    )
}
