"""Reading JSON bodies: capped, strict, and nothing in them that no database can hold."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from access.errors import BodyTooLarge

# An escaped surrogate; whether it stands alone is looked at only where one stands at all.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class CappedJsonParser(BaseParser):
    """JSON by RFC 8259, at most `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes. DRF's own parser reads a body of any size."""

    media_type = "application/json"
    refuses_surrogates = True

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body as Python values.

        Raises:
            BodyTooLarge: over the cap; no more than the cap was read.
            ParseError: not JSON in UTF-8.
        """
        cap = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(cap + 1)
        if len(body) > cap:
            raise BodyTooLarge(f"a JSON body may have {cap} bytes")
        try:
            document = json.loads(body.decode(), parse_constant=_refuse)
            if self.refuses_surrogates and _SURROGATE.search(body):
                json.dumps(document, ensure_ascii=False).encode()
        except (UnicodeError, ValueError, RecursionError) as error:
            raise ParseError(f"the body is not JSON: {str(error)[:200]}") from error
        return document


class BatchJsonParser(CappedJsonParser):
    """For batches of messages: text that is no Unicode is left to the view, which refuses the one message that has it.

    Refusing the batch would keep a device's good messages from ever being taken.
    """

    refuses_surrogates = False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
