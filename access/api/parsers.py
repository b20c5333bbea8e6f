"""Reading JSON bodies: capped, strict, and nothing in them that no database can hold."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http.request import UnreadablePostError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from access import strict_json
from access.errors import BodyTooLarge


class CappedJsonParser(BaseParser):
    """JSON by RFC 8259, at most `cap_bytes`, or else `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes. DRF's own parser reads a body of any size."""

    media_type = "application/json"
    refuses_surrogates = True
    cap_bytes: int | None = None

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body as Python values.

        Raises:
            BodyTooLarge: over the cap; no more than the cap was read.
            ParseError: not JSON in UTF-8, or such as `access.strict_json` refuses.
        """
        cap = self.cap_bytes or settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(cap + 1)
        except UnreadablePostError as error:  # the connection broke, or stalled for too long
            raise ParseError("the body was cut off") from error
        if len(body) > cap:
            raise BodyTooLarge(f"a JSON body may have {cap} bytes")
        try:
            return strict_json.parse(body, refuses_surrogates=self.refuses_surrogates)
        except strict_json.NotStrict as error:
            raise ParseError(f"the body is not JSON: {error}") from error


class BatchJsonParser(CappedJsonParser):
    """For batches of messages: text that is no Unicode is left to the view, which refuses the one message that has it.

    Refusing the batch would keep a device's good messages from ever being taken.
    """

    refuses_surrogates = False
