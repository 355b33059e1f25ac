"""Run by the environment of the 0.x SDK: every call that it makes, answered; prints one line of JSON."""

import json
import time

import anthropic

client = anthropic.Anthropic(max_retries=0)
question = [{"role": "user", "content": "one two three"}]
created = client.messages.create(
    model="claude-3-5-sonnet-latest", max_tokens=50, temperature=0.5, top_k=5, messages=question
)
with client.messages.stream(model="claude-3-5-sonnet-latest", max_tokens=50, messages=question) as stream:
    streamed = "".join(stream.text_stream)
counted = client.messages.count_tokens(model="claude-3-5-sonnet-latest", messages=question)
beta = client.beta.messages.create(model="claude-3-5-sonnet-latest", max_tokens=50, messages=question)
completed = client.completions.create(
    model="claude-2", max_tokens_to_sample=50, prompt=f"{anthropic.HUMAN_PROMPT} one two{anthropic.AI_PROMPT}"
)
chunks = list(
    client.completions.create(
        model="claude-2",
        max_tokens_to_sample=50,
        prompt=f"{anthropic.HUMAN_PROMPT} one two{anthropic.AI_PROMPT}",
        stream=True,
    )
)
uploaded = client.beta.files.upload(file=("a.txt", b"The grass is green.", "text/plain"))
raw = client.beta.files.upload(file=b"%PDF-1.7")
files = list(client.beta.files.list(limit=1))
found = client.beta.files.retrieve_metadata(uploaded.id)
deleted = client.beta.files.delete(uploaded.id)
try:
    client.beta.files.download(raw.id)
    not_given_out = None
except anthropic.BadRequestError as error:
    not_given_out = error.body["error"]["details"]["error_code"]
batch = client.messages.batches.create(
    requests=[{"custom_id": "one", "params": {"model": "echo", "max_tokens": 50, "messages": question}}]
)
while batch.processing_status != "ended":
    time.sleep(0.02)
    batch = client.messages.batches.retrieve(batch.id)
lines = [[line.custom_id, line.result.message.content[0].text] for line in client.messages.batches.results(batch.id)]
listed = [one.id for one in client.messages.batches.list()] == [batch.id]
ended = client.messages.batches.delete(batch.id).type
try:
    anthropic.Anthropic(api_key="wrong", max_retries=0).models.list()
    refused = None
except anthropic.AuthenticationError as error:
    refused = error.body["error"]["message"]
print(
    json.dumps(
        {
            "version": anthropic.__version__,
            "created": created.content[0].text,
            "streamed": streamed,
            "counts": [counted.input_tokens, created.usage.input_tokens],
            "beta": beta.content[0].text,
            "completed": [completed.completion, completed.stop_reason],
            "chunks": ["".join(chunk.completion for chunk in chunks), chunks[-1].stop_reason],
            "batch": [lines, listed, ended],
            "models": [model.id for model in client.models.list()],
            "files": [file.filename for file in files],
            "file": [found.id == uploaded.id, found.mime_type, found.size_bytes, found.downloadable],
            "deleted": [deleted.id == uploaded.id, deleted.type, not_given_out],
            "refused": refused,
        }
    )
)
