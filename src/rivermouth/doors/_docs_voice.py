"""The route that is spoken to in the OpenAPI document."""

from typing import Any

import msgspec

from rivermouth.dialects import smarttalk
from rivermouth.doors._docs_chat import (
    AT,
    EXAMPLES,
    HEADERS,
    ID,
    KINDS,
    LAST_EVENT,
    QUERY,
    answer_headers,
    events_of,
    sample,
)
from rivermouth.doors._docs_schema import events_content, failures, json_content, operation_id, shape
from rivermouth.doors._docs_siblings import security
from rivermouth.errors import NothingHeard, NoTranscriber
from rivermouth.events import Transcribed
from rivermouth.messages import fold

NAME = "smarttalk"
FLAG: dict[str, Any] = {"type": "string", "enum": ["true", "false"]}
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "audio": {
            "type": "string",
            "format": "binary",
            "description": "WebM, Ogg, MP4, MP3, WAV, FLAC, …; by its content.",
        },
        "chatInstanceId": ID | {"type": "string"},
        "chatModelId": ID | {"type": "string"},
        "stream": FLAG,
        "includeTokens": FLAG,
    },
    "required": ["audio", "chatInstanceId", "chatModelId"],
}
FORM_EXAMPLE = {
    "audio": "(the recording's bytes)",
    "chatInstanceId": EXAMPLES[NAME]["chatInstanceId"],
    "chatModelId": EXAMPLES[NAME]["chatModelId"],
    "stream": "true",
}


def paths() -> dict[str, dict[str, Any]]:
    """The path, without prefix."""
    route = smarttalk.VOICE
    started, events = sample(NAME, {"chat_model": EXAMPLES[NAME]["chatModelId"]})
    started = msgspec.structs.replace(started, awaits_transcript=True)
    events = [started, Transcribed(AT, EXAMPLES[NAME]["message"], "en", 1.75), *events[1:]]
    whole = msgspec.json.decode(smarttalk.whole(fold(events)).body)
    content = events_content(events_of(smarttalk, started, events)) | json_content(shape(whole), whole)
    form = {"multipart/form-data": {"schema": FORM, "example": FORM_EXAMPLE}}
    told = {
        "description": "The answer, as it comes or whole.",
        "headers": answer_headers(smarttalk),
        "content": content,
    }
    query = [
        {"name": field, "in": "query", "required": False, "schema": schema, "description": text}
        for field, schema, text in QUERY[NAME]
    ]
    operation = {
        "tags": [NAME],
        "operationId": operation_id(NAME, route.method, route.path),
        "summary": "Ask by voice, and have the answer as a stream or JSON",
        "security": security(NAME, route.auth, required=route.required),
        "parameters": [*query, *HEADERS, LAST_EVENT],
        "requestBody": {"required": True, "content": form},
        "responses": {"200": told, **failures(smarttalk, route.path, (*KINDS, NothingHeard, NoTranscriber))},
    }
    return {route.path: {route.method.lower(): operation}}
