"""What SPDX's own library finds wrong with a document."""

from __future__ import annotations

import json

from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def problems(document: bytes) -> list[str]:
    """Nothing where the document is valid."""
    try:
        read = JsonLikeDictParser().parse(json.loads(document))
    except SPDXParsingError as error:
        return list(error.get_messages())
    return [message.validation_message for message in validate_full_spdx_document(read)]
