"""`python -m bench.citations --model FILE.gguf`: ask a model what stands in documents, and look at what it cites.

Through our own server, over HTTP, with temperature 0. Each of the 36 questions of `bench/library.py` is asked about its
own document, and with `--shelf` with all eight documents before it. Every document holds the answer in one sentence: a
citation is right if it is of that sentence. `--out` records each reply, and what is recorded is not asked again.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from anthropic import AsyncAnthropic
from pydantic import SecretStr

from antiphon.app import create_app
from antiphon.core.clock import SystemClock
from antiphon.settings import Settings
from antiphon.web.server import Server, bind
from bench.library import DOCUMENTS, QUESTIONS, Document, Question
from bench.processes import KEY

_MAX_TOKENS = 80
_VERSION = {"anthropic-version": "2023-06-01"}  # the one with a temperature
Row = dict[str, Any]


def block_of(document: Document) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": document.text}
    return {"type": "document", "source": source, "title": document.title, "citations": {"enabled": True}}


@asynccontextmanager
async def serving(model: Path) -> AsyncGenerator[AsyncAnthropic, None]:
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"data_dir": Path(folder), "model": str(model), "slots": 1, "window": 8192}
        settings, clock = Settings(**given, api_key=SecretStr(KEY)), SystemClock()
        app = create_app(settings, clock=clock)
        server = Server(app.door, bind("127.0.0.1", 0), settings, clock)
        await app.open()
        running = app.tasks.spawn(server.serve(), "serve")
        await app.start()
        try:
            options: dict[str, Any] = {"timeout": 600, "default_headers": _VERSION}
            async with AsyncAnthropic(base_url=server.url, api_key=KEY, **options) as client:
                yield client
        finally:
            server.stop()
            await running
            await app.aclose()


async def record(model: Path, out: Path, *, with_shelf: bool) -> None:
    known = {(row["question"], row["with_shelf"]) for row in read(out)}
    left = [one for one in QUESTIONS if (one.text, with_shelf) not in known]
    with out.open("a") as file:
        async with serving(model) as client:
            for question in left:
                row = await _ask(client, question, with_shelf=with_shelf)
                print(json.dumps(row), file=file, flush=True)


async def _ask(client: AsyncAnthropic, question: Question, *, with_shelf: bool) -> Row:
    documents = DOCUMENTS if with_shelf else [DOCUMENTS[question.document]]
    content = [*map(block_of, documents), {"type": "text", "text": question.text}]
    request: dict[str, Any] = {
        "model": "claude-x",
        "max_tokens": _MAX_TOKENS,
        "extra_body": {"temperature": 0},
        "messages": [{"role": "user", "content": content}],
    }
    message = await client.messages.create(**request)
    blocks = [block for block in message.content if block.type == "text"]
    citations = [citation.to_dict() for block in blocks for citation in block.citations or []]
    row = {"question": question.text, "with_shelf": with_shelf, "text": "".join(block.text for block in blocks)}
    return row | {"citations": citations, "stop": message.stop_reason, "num_output": message.usage.output_tokens}


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Answer(NamedTuple):
    question: Question
    row: Row

    @property
    def is_right(self) -> bool:
        return self.question.answer.lower() in self.row["text"].lower()

    @property
    def cites_rightly(self) -> bool:
        return any(self.is_of_the_sentence(citation) for citation in self.row["citations"])

    def is_of_the_sentence(self, citation: Row) -> bool:
        return self.question.support in citation["cited_text"]

    def is_exact(self, citation: Row) -> bool:
        number = citation["document_index"] if self.row["with_shelf"] else self.question.document
        text = DOCUMENTS[number].text
        return citation["cited_text"] == text[citation["start_char_index"] : citation["end_char_index"]] != ""


def report(rows: Sequence[Row], name: str) -> None:
    by_text = {question.text: question for question in QUESTIONS}
    for with_shelf, what in ((False, "one document"), (True, "all eight documents")):
        answers = [Answer(by_text[row["question"]], row) for row in rows if row["with_shelf"] is with_shelf]
        if not answers:
            continue
        right = [answer for answer in answers if answer.is_right]
        cited = [(answer, citation) for answer in answers for citation in answer.row["citations"]]
        num_cited = sum(answer.cites_rightly for answer in answers)
        print(f"{name}, {what}: {len(answers)} questions")
        print(f"  answers with a right citation: {num_cited} ({num_cited / len(answers):.0%})")
        print(f"  with any: {sum(bool(answer.row['citations']) for answer in answers)}")
        print(f"  right answers: {len(right)}, of them {sum(answer.cites_rightly for answer in right)} cite rightly")
        num_of_sentence = sum(answer.is_of_the_sentence(citation) for answer, citation in cited)
        num_exact = sum(answer.is_exact(citation) for answer, citation in cited)
        print(f"  citations: {len(cited)}, {num_of_sentence} of the right sentence, {num_exact} exact slices")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.citations", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF to ask")
    parser.add_argument("--out", type=Path, help="where the replies are recorded, one JSON a line")
    parser.add_argument("--shelf", action="store_true", help="show all the documents with each question")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = given.out or Path(folder) / "replies.jsonl"
        asyncio.run(record(given.model, out, with_shelf=given.shelf))
        report(read(out), given.model.stem)


if __name__ == "__main__":
    main()
