"""The schemas that a request wants to be enforced, held against what the API enforces."""

from antiphon.core.errors import invalid
from antiphon.turn.schema import refuse
from antiphon.turn.schema.grammar import compiles
from antiphon.turn.script import document_of
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.tools import CustomTool


def check(request: MessageRequest | CountRequest) -> None:
    """Raises 400 for the first strict tool, or the format, that asks for more."""
    if request.is_plain:
        return
    tools = request.tools or ()
    strict = {
        f"tools.{i}.custom": tool.input_schema
        for i, tool in enumerate(tools)
        if isinstance(tool, CustomTool) and tool.strict
    }
    document = document_of(request)
    if not strict and document is None:
        return
    refuse.check_strict(strict)
    schemas = [*strict.values(), *([] if document is None else [document])]
    refuse.check_limits(schemas)
    if document is not None:
        refuse.check_schema(refuse.FORMAT_PATH, document)
    if not all(map(compiles, schemas)):
        raise invalid("Schema is too complex for compilation.")
