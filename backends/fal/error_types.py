"""What each of fal's error types means, as data: its class and what to tell a person.

In a sentence, `{subject}` becomes "loras.0.scale is 7", "the LoRA “ghibli”" or a name for the
request as a whole, and `{limit}` the bound that fal names. Types end in `*` where fal has a family
of them. Source: fal's pages on model errors and on request errors, as of 2026-11-20.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from backends.fal.errors import (
    BalanceExhausted,
    ContentRefused,
    EndedElsewhere,
    FalError,
    FileRefused,
    InputRefused,
    KeyRefused,
    LoraNotFetched,
    ServiceTimeout,
    ServiceTrouble,
    TooManyRequests,
)

Meaning = tuple[type[FalError], str]

_FAILED: Final = "fal's machine failed while it worked on this."
_NO_MACHINE: Final = "fal lost, or never reached, the machine that should draw this."

TYPES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        # Of a model
        "internal_server_error": (ServiceTrouble, _FAILED),
        "downstream_service_unavailable": (
            ServiceTrouble,
            "Another service that fal needs for this is down.",
        ),
        "downstream_service_error": (
            ServiceTrouble,
            "Another service that fal needs for this failed.",
        ),
        "generation_timeout": (
            ServiceTimeout,
            "fal took too long to draw this and gave up; fewer steps or a smaller size are faster.",
        ),
        "content_policy_violation": (
            ContentRefused,
            "fal's content policy does not allow this; change the prompt or the LoRAs.",
        ),
        "no_media_generated": (
            ContentRefused,
            "fal's model made no picture of this; word the prompt differently.",
        ),
        "image_too_small": (FileRefused, "{subject} has too few pixels; use a larger picture."),
        "image_too_large": (FileRefused, "{subject} has too many pixels; use a smaller picture."),
        "image_load_error": (FileRefused, "fal cannot read {subject} as a picture; use another."),
        "file_download_error": (
            LoraNotFetched,
            "fal could not download {subject}; check that its address is public and still right.",
        ),
        "file_too_large": (FileRefused, "{subject} is too large for fal; use a smaller file."),
        "face_detection_error": (FileRefused, "fal found no face in {subject}; use another."),
        "greater_than": (InputRefused, "{subject}; fal takes more than {limit}."),
        "greater_than_equal": (InputRefused, "{subject}; fal takes {limit} or more."),
        "less_than": (InputRefused, "{subject}; fal takes less than {limit}."),
        "less_than_equal": (InputRefused, "{subject}; fal takes {limit} or less."),
        "multiple_of": (InputRefused, "{subject}; fal takes multiples of {limit}."),
        "sequence_too_short": (InputRefused, "{subject}; fal wants at least {limit} entries."),
        "sequence_too_long": (InputRefused, "{subject}; fal takes at most {limit} entries."),
        "one_of": (InputRefused, "{subject}; fal takes {limit}."),
        "feature_not_supported": (InputRefused, "{subject}; fal's model cannot do this."),
        "invalid_archive": (FileRefused, "fal cannot open {subject} as an archive; use another."),
        "archive_file_count_*": (FileRefused, "{subject} has too few or too many files for fal."),
        "unsupported_*_format": (FileRefused, "{subject} has a format that fal does not read."),
        "audio_duration_*": (FileRefused, "{subject} is too short or too long for fal."),
        "video_duration_*": (FileRefused, "{subject} is too short or too long for fal."),
        # Of fal's queue and machines
        "request_timeout": (ServiceTimeout, "fal did not finish this in its time."),
        "startup_timeout": (ServiceTimeout, "fal could not start a machine for this in time."),
        "runner_scheduling_failure": (ServiceTrouble, "fal has no free machine for this."),
        "runner_connection_timeout": (ServiceTrouble, _NO_MACHINE),
        "runner_connection_refused": (ServiceTrouble, _NO_MACHINE),
        "runner_connection_error": (ServiceTrouble, _NO_MACHINE),
        "runner_disconnected": (ServiceTrouble, _NO_MACHINE),
        "runner_incomplete_response": (ServiceTrouble, _FAILED),
        "runner_server_error": (ServiceTrouble, _FAILED),
        "internal_error": (ServiceTrouble, _FAILED),
        "client_disconnected": (EndedElsewhere, "The request was ended before fal drew it."),
        "client_cancelled": (EndedElsewhere, "The request was cancelled at fal."),
        "bad_request": (InputRefused, "fal cannot read this request."),
        "concurrent_requests_limit": (
            TooManyRequests,
            "The fal account has as many requests under way as it may.",
        ),
    }
)

STATUSES: Final[Mapping[int, Meaning]] = MappingProxyType(
    {
        400: (InputRefused, "fal refused {subject}."),
        401: (KeyRefused, "fal does not know this key; the owner should check FAL_KEY."),
        402: (
            BalanceExhausted,
            "The fal account has no money left; its owner can top it up on fal's site.",
        ),
        408: (ServiceTimeout, "fal did not finish this in its time."),
        422: (InputRefused, "fal refused {subject}."),
        429: (TooManyRequests, "fal had too many requests; try again in a few minutes."),
        499: (EndedElsewhere, "The request was cancelled at fal."),
        504: (ServiceTimeout, "fal did not finish this in its time."),
    }
)
"""What a status means where the body has no type that we know."""


def meaning(type_: str | None) -> Meaning | None:
    """What is known about one of fal's types; None where nothing is."""
    if type_ is None:
        return None
    if (exact := TYPES.get(type_)) is not None:
        return exact
    return next((TYPES[name] for name in TYPES if "*" in name and fnmatchcase(type_, name)), None)
