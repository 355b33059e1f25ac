"""boto3 and AnthropicBedrock, unchanged but for endpoint and credentials, against the scripted models."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import boto3
import pytest
from anthropic.lib.bedrock import AnthropicBedrock, AsyncAnthropicBedrock
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from sqlalchemy import select, update
from urllib3.exceptions import ProtocolError

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError, Kind
from antiphon.encode import eventstream
from antiphon.facades.bedrock.errors import MANNERS
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR
from antiphon.turn.pieces import Piece, Stop
from antiphon.wire.events import MessageStop, TextDelta
from scripts.check_docs import blocks
from tests.fixtures.aws import Pair, new_pair
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.wire import RawClient, head_bytes
from tests.fixtures.world import API_KEY, World, ask, text_of

SONNET = "anthropic.claude-sonnet-5"
ARN = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}"
REGION = "us-east-1"


def client_of(url: str, pair: Pair, service: str = "bedrock-runtime", **options: Any) -> Any:
    given = {
        "aws_access_key_id": pair.access_key_id,
        "aws_secret_access_key": pair.secret_access_key,
        "config": Config(retries={"total_max_attempts": 1}, read_timeout=20),
    }
    return boto3.client(service, region_name=REGION, endpoint_url=url, **given | options)  # type: ignore[call-overload]


async def with_boto(world: World, work: Callable[[Any], Any], service: str = "bedrock-runtime", **options: Any) -> Any:
    """What `work` makes of a client of boto3, which blocks: it works in a thread."""
    pair = options.pop("pair", None) or await new_pair(world)
    return await asyncio.to_thread(use, client_of(world.url, pair, service, **options), work)


def use(opened: Any, work: Callable[[Any], Any]) -> Any:
    """What `work` makes of a client or a stream, which is then closed."""
    with contextlib.closing(opened):
        return work(opened)


def body(text: Any = "hello there", **fields: Any) -> str:
    """What an InvokeModel sends."""
    whole = ask(text, anthropic_version="bedrock-2023-05-31", **fields)
    return json.dumps({name: value for name, value in whole.items() if name != "model"})


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def chunks(response: Any) -> list[dict[str, Any]]:
    return [json.loads(event["chunk"]["bytes"]) for event in response["body"]]


TOOL = {
    "toolSpec": {
        "name": "weather",
        "description": "The weather.",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
}


@pytest.mark.parametrize(
    "model", ["echo", SONNET, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ARN], ids=["own", "plain", "colon", "arn"]
)
async def test_invoke_model_answers(model: str):
    async with World() as world:
        response = await with_boto(world, lambda client: client.invoke_model(modelId=model, body=body()))
        message = json.loads(response["body"].read())
    assert (message["content"], message["model"]) == ([{"type": "text", "text": "hello there"}], "echo")
    assert response["contentType"] == "application/json"
    assert response["ResponseMetadata"]["RequestId"].startswith("req_")
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-output-token-count"] == "2"


async def test_invoke_with_stream_has_the_events_of_the_native_route():
    async with World() as world:
        native = await world.stream(ask("one two three"))

        def invoke(client: Any) -> tuple[list[dict[str, Any]], str]:
            response = client.invoke_model_with_response_stream(modelId=ARN, body=body("one two three"))
            return chunks(response), response["contentType"]

        events, kind = await with_boto(world, invoke)
    assert kind == "application/json"
    assert [event["type"] for event in events] == [event["type"] for event in native]
    metrics = events[-1].pop("amazon-bedrock-invocationMetrics")
    assert events[2:] == native[2:]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (5, 3)
    assert 0 <= metrics["firstByteLatency"] <= metrics["invocationLatency"] < 10_000


async def test_the_body_names_version_and_betas():
    old, new = json.loads(body()), json.loads(body()) | {"anthropic_version": "2026-10-21"}
    async with World() as world:
        pair = await new_pair(world)

        async def invoke(**fields: Any) -> None:
            await with_boto(world, lambda c: c.invoke_model(modelId=SONNET, body=json.dumps(fields)), pair=pair)

        await invoke(**old, temperature=0.5, anthropic_beta=["computer-use-2024-10-22"])
        await invoke(**new)
        for wrong, words in [
            (new | {"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
            ({name: value for name, value in old.items() if name != "anthropic_version"}, "Field required"),
            (old | {"anthropic_version": "2019"}, "is not a valid version"),
            (old | {"anthropic_version": 5}, "valid string"),
            (old | {"anthropic_beta": "a,b"}, "valid array"),
            (old | {"cache_control": {"type": "ephemeral"}}, "cache_control: Extra inputs are not permitted"),
            (old | {"model": "echo"}, "model: Extra inputs are not permitted"),
            (old | {"stream": True}, "stream: Extra inputs are not permitted"),
        ]:
            with pytest.raises(ClientError, match=words) as caught:
                await invoke(**wrong)
            assert caught.value.response["Error"]["Code"] == "ValidationException"


async def test_converse_answers():
    async with World() as world:
        response = await with_boto(
            world,
            lambda client: client.converse(
                modelId=ARN,
                messages=says("one two three four"),
                system=[{"text": "be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
                inferenceConfig={"maxTokens": 50, "temperature": 0.5, "stopSequences": ["three"]},
                additionalModelRequestFields={"top_k": 5},
                additionalModelResponseFieldPaths=["/stop_sequence", "/usage/output_tokens", "/nothing/here"],
                requestMetadata={"team": "red"},
                performanceConfig={"latency": "standard"},
                serviceTier={"type": "default"},
            ),
        )
    assert response["output"]["message"] == {"role": "assistant", "content": [{"text": "one two "}]}
    assert response["stopReason"] == "stop_sequence"
    usage = response["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] + usage["cacheWriteInputTokens"]
    assert response["metrics"]["latencyMs"] >= 0
    assert response["additionalModelResponseFields"]["stop_sequence"] == "three"
    assert response["additionalModelResponseFields"]["usage"] == {"output_tokens": usage["outputTokens"]}


async def test_converse_without_a_limit_writes_as_much_as_the_model_may():
    async with World() as world:
        reply = await with_boto(world, lambda client: client.converse(modelId=SONNET, messages=says("hello")))
    assert reply["stopReason"] == "end_turn"


async def test_converse_calls_a_tool_and_takes_its_result():
    def talk(client: Any) -> list[Any]:
        given = {"modelId": "tool-caller", "toolConfig": {"tools": [TOOL], "toolChoice": {"auto": {}}}}
        first = client.converse(messages=says("Rain?"), **given)
        asked = first["output"]["message"]
        (use,) = [block["toolUse"] for block in asked["content"] if "toolUse" in block]
        result = {"toolUseId": use["toolUseId"], "content": [{"json": {"rain": True}}], "status": "success"}
        turns = [*says("Rain?"), asked, {"role": "user", "content": [{"toolResult": result}]}]
        return [first, use, client.converse(messages=turns, **given)]

    async with World() as world:
        first, use, second = await with_boto(world, talk)
    assert (first["stopReason"], use["name"]) == ("tool_use", "weather")
    assert isinstance(use["input"]["city"], str)
    assert second["output"]["message"]["content"] == [{"text": '{"rain": true}'}]


async def test_converse_stream_calls_a_tool():
    def talk(client: Any) -> list[Any]:
        config = {"tools": [TOOL], "toolChoice": {"tool": {"name": "weather"}}}
        return list(client.converse_stream(modelId="tool-caller", messages=says("Rain?"), toolConfig=config)["stream"])

    async with World() as world:
        events = await with_boto(world, talk)
    start = next(event["contentBlockStart"] for event in events if "contentBlockStart" in event)
    assert start["start"]["toolUse"]["name"] == "weather"
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert "city" in json.loads("".join(delta["toolUse"]["input"] for delta in deltas))
    assert [next(iter(event)) for event in events[-3:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert events[-2]["messageStop"]["stopReason"] == "tool_use"


async def test_converse_thinks_and_takes_its_thoughts_back():
    def talk(client: Any) -> list[Any]:
        given = {
            "modelId": "thinker",
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            "inferenceConfig": {"maxTokens": 2000},
        }
        first = client.converse(messages=says("Why?"), **given)["output"]["message"]
        second = client.converse(messages=[*says("Why?"), first, *says("And now?")], **given)
        streamed = list(client.converse_stream(messages=says("Why?"), **given)["stream"])
        return [first, second["output"]["message"], streamed]

    async with World() as world:
        first, second, streamed = await with_boto(world, talk)
    thought, said = first["content"]
    reasoning = thought["reasoningContent"]["reasoningText"]
    assert "Why?" in reasoning["text"]
    assert reasoning["signature"]
    assert (said, second["content"][-1]) == ({"text": "Why?"}, {"text": "And now?"})
    deltas = [event["contentBlockDelta"]["delta"] for event in streamed if "contentBlockDelta" in event]
    reasoned = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    assert "".join(part.get("text", "") for part in reasoned) == reasoning["text"]
    assert [part["signature"] for part in reasoned if "signature" in part]


async def test_converse_output_follows_a_schema():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(schema), "name": "x"}}}
    async with World() as world:
        reply = await with_boto(
            world,
            lambda client: client.converse(modelId="json", messages=says("a"), outputConfig={"textFormat": form}),
        )
    assert isinstance(json.loads(reply["output"]["message"]["content"][0]["text"])["a"], int)


UNSERVED_BLOCKS = [
    ({"video": {"format": "mp4", "source": {"bytes": "AAAA"}}}, "video"),
    ({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}, "s3Location"),
    ({"document": {"format": "docx", "name": "d", "source": {"bytes": "AAAA"}}}, "docx"),
    ({"document": {"format": "txt", "name": "d", "source": {"bytes": "/w=="}}}, "UTF-8"),
    ({"text": "a", "image": {"format": "png", "source": {"bytes": "AAAA"}}}, "exactly one"),
    ({"toolAddition": {"tool": {"name": "x"}}}, "exactly one"),
    ({"cachePoint": {"type": "default"}}, "cachePoint"),
]


@pytest.mark.parametrize(("block", "words"), UNSERVED_BLOCKS, ids=[row[1] for row in UNSERVED_BLOCKS])
async def test_a_block_that_is_not_served_is_refused_by_name(block: dict[str, Any], words: str):
    given = {"messages": [{"role": "user", "content": [block]}]}
    async with World() as world:
        status, told = await world.post("/model/echo/converse", given)
    assert (status, words in told["message"]) == (400, True), told


REFUSED_OF_CONVERSE = [
    ({"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}, "guardrails are not supported"),
    ({"performanceConfig": {"latency": "optimized"}}, "performanceConfig"),
    ({"serviceTier": {"type": "priority"}}, "serviceTier"),
    ({"promptVariables": {"a": {"text": "b"}}}, "promptVariables"),
    ({"additionalModelRequestFields": {"messages": []}}, "conflicts"),
    ({"additionalModelRequestFields": {"max_tokens": 5}, "inferenceConfig": {"maxTokens": 5}}, "conflicts"),
    ({"additionalModelResponseFieldPaths": ["stop_sequence"]}, "JSON pointer"),
    ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}, "systemTool"),
    ({"toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]}}, "cachePoint"),
    ({"inferenceConfig": {"maxTokens": 10**7}}, "maximum allowed number of output tokens"),
    ({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}}, "JSON"),
]


@pytest.mark.parametrize(
    ("fields", "words"), REFUSED_OF_CONVERSE, ids=[str(row[0])[:40] for row in REFUSED_OF_CONVERSE]
)
async def test_what_converse_cannot_have_here_is_refused_by_name(fields: dict[str, Any], words: str):
    async with World() as world:
        with pytest.raises(ClientError, match=words) as caught:
            await with_boto(world, lambda client: client.converse(modelId=SONNET, messages=says("a"), **fields))
    assert caught.value.response["Error"]["Code"] == "ValidationException"


async def test_tokens_are_counted_as_the_native_route_counts_them():
    def count(client: Any) -> list[int]:
        converse = {"messages": says("one two three"), "system": [{"text": "be brief"}]}
        invoke = {"body": body("one two three", system="be brief")}
        return [
            client.count_tokens(modelId=ARN, input={"converse": converse})["inputTokens"],
            client.count_tokens(modelId=ARN, input={"invokeModel": invoke})["inputTokens"],
        ]

    async with World() as world:
        _, native = await world.post(
            "/v1/messages/count_tokens",
            {"model": "echo", "system": "be brief", "messages": [{"role": "user", "content": "one two three"}]},
        )
        assert await with_boto(world, count) == [native["input_tokens"]] * 2


async def test_models_and_profiles_are_listed():
    def look(client: Any) -> list[Any]:
        return [
            client.list_foundation_models(byOutputModality="TEXT")["modelSummaries"],
            client.list_foundation_models(byProvider="Amazon")["modelSummaries"],
            client.get_foundation_model(modelIdentifier=SONNET)["modelDetails"],
            client.list_inference_profiles(typeEquals="SYSTEM_DEFINED")["inferenceProfileSummaries"],
            client.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"],
            client.get_inference_profile(inferenceProfileIdentifier=ARN),
        ]

    async with World() as world:
        models, none, model, profiles, own, profile = await with_boto(world, look, "bedrock")
        with pytest.raises(ClientError) as caught:
            await with_boto(world, lambda client: client.get_foundation_model(modelIdentifier="nobody"), "bedrock")
    assert (models[0]["modelId"], none, own) == ("echo", [], [])
    assert (model["modelId"], model["modelLifecycle"]["status"]) == (SONNET, "ACTIVE")
    assert profiles[0]["inferenceProfileId"] == "echo"
    assert (profile["inferenceProfileId"], profile["models"][0]["modelArn"].rpartition("/")[2]) == (
        f"us.{SONNET}",
        "echo",
    )
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


BOTO_ERRORS = [
    ("ValidationException", 400, "echo", {"max_tokens": -1}),
    ("ResourceNotFoundException", 404, "nobody", {}),
    ("InternalServerException", 500, "fail-3", {}),
    ("ServiceUnavailableException", 503, "down", {}),
]


@pytest.mark.parametrize(("name", "status", "model", "fields"), BOTO_ERRORS, ids=[row[0] for row in BOTO_ERRORS])
async def test_each_error_is_botos_own_class(name: str, status: int, model: str, fields: dict[str, Any]):
    def fail(client: Any) -> Any:
        with pytest.raises(getattr(client.exceptions, name)) as caught:
            client.invoke_model(modelId=model, body=body(**fields))
        return caught.value.response

    async with World() as world:
        response = await with_boto(world, fail)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["ResponseMetadata"]["RequestId"].startswith("req_")
    assert response["Error"]["Code"] == name
    assert response["Error"]["Message"]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_has_a_name_of_awss(kind: Kind):
    status, headers, raw = MANNERS.refuse(ApiError(kind, "because", headers={"retry-after": "1"}), "req_1")
    told = dict(headers)
    assert 400 <= status < 600
    assert told[b"x-amzn-errortype"].endswith(b"Exception")
    assert told[b"retry-after"] == b"1"
    assert set(json.loads(raw)) == {"message"}
    assert b"xception" in MANNERS.break_off(ApiError(kind, "because"), "req_1")


async def test_a_prompt_that_is_too_long_is_told_in_bedrocks_words():
    async with World() as world:
        long = body("word " * 200_001)
        with pytest.raises(ClientError) as caught:
            await with_boto(world, lambda client: client.invoke_model(modelId=SONNET, body=long))
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Input is too long for requested model.",
    }


async def test_an_error_in_mid_stream_is_an_exception_frame():
    async with World() as world:
        pair = await new_pair(world)
        for work in (
            lambda client: client.invoke_model_with_response_stream(modelId="fail-3", body=body())["body"],
            lambda client: client.converse_stream(modelId="fail-3", messages=says("a"))["stream"],
        ):
            with pytest.raises(EventStreamError) as caught:
                await with_boto(world, lambda client, work=work: use(work(client), list), pair=pair)
            assert caught.value.response["Error"]["Code"] == "internalServerException"


async def test_a_body_over_20_mb_is_refused():
    async with World() as world, RawClient(world.url) as client:
        await client.send(head_bytes(20 * 1024 * 1024 + 1, f"/model/{SONNET}/invoke"))
        reply = await client.read_until(b'"}')
    assert reply.startswith(b"HTTP/1.1 413")
    assert b"x-amzn-errortype: ValidationException" in reply


@pytest.mark.parametrize(("size", "words"), [(5 * 1024 * 1024 + 3, "5 MB"), (1024, "Could not process image")])
async def test_an_image_over_5_mb_is_refused(size: int, words: str):
    image = {"format": "png", "source": {"bytes": b"x" * size}}
    turns = [{"role": "user", "content": [{"image": image}, {"text": "what?"}]}]
    async with World() as world:
        with pytest.raises(ClientError, match=words):
            await with_boto(world, lambda client: client.converse(modelId=SONNET, messages=turns))


@pytest.mark.parametrize(
    "header", ["guardrailIdentifier", "performanceConfigLatency", "serviceTier"], ids=["guardrail", "latency", "tier"]
)
async def test_what_invoke_cannot_have_here_is_refused_by_name(header: str):
    value = {"guardrailIdentifier": "g", "performanceConfigLatency": "optimized", "serviceTier": "flex"}[header]
    more = {"guardrailVersion": "1"} if header == "guardrailIdentifier" else {}
    async with World() as world:
        with pytest.raises(ClientError, match="supported by this server") as caught:
            await with_boto(
                world, lambda client: client.invoke_model(modelId=SONNET, body=body(), **{header: value}, **more)
            )
    assert caught.value.response["Error"]["Code"] == "ValidationException"


WRONG_CREDENTIALS = [
    ({"aws_secret_access_key": "x" * 40}, "InvalidSignatureException"),
    ({"aws_access_key_id": "ANTAAAAAAAAAAAAAAAAA"}, "UnrecognizedClientException"),
    ({"aws_session_token": "token"}, "UnrecognizedClientException"),
]


@pytest.mark.parametrize(("options", "name"), WRONG_CREDENTIALS, ids=["secret", "id", "session token"])
async def test_a_wrong_signature_is_403_in_awss_shape(options: dict[str, str], name: str):
    async with World() as world:
        with pytest.raises(ClientError) as caught:
            await with_boto(world, lambda client: client.invoke_model(modelId=SONNET, body=body()), **options)
    response = caught.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (403, name)


async def test_a_pair_obeys_its_key():
    """It may do what the key may, and ends with it."""

    def invoke(client: Any) -> str:
        try:
            client.invoke_model(modelId=SONNET, body=body())
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "done"

    async with World() as world:
        pair = await new_pair(world)
        other = await new_pair(world, allowed_models=["lorem"])
        assert await with_boto(world, invoke, pair=other) == "AccessDeniedException"
        assert await with_boto(world, invoke, pair=pair) == "done"
        async with world.app.accounts.change(world.app.directory.home, OPERATOR) as change:
            row = tables.api_keys.c.id == pair.key_id
            await change.connection.execute(update(tables.api_keys).where(row).values(status="inactive"))
        assert await with_boto(world, invoke, pair=pair) == "UnrecognizedClientException"


async def test_the_secret_is_sealed_in_the_database():
    async with World() as world:
        pair = await new_pair(world)
        async with world.app.database.read() as connection:
            rows = [(await connection.execute(select(table))).all() for table in (tables.aws_keys, tables.api_keys)]
    assert pair.access_key_id in str(rows)
    assert pair.secret_access_key not in str(rows)
    assert base64.b64encode(pair.secret_access_key.encode()).decode()[:20] not in str(rows)


async def test_an_api_key_as_bearer_token_is_as_good(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", API_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with World() as world, behind_tls(world.url) as url:

        def converse(client: Any) -> Any:
            return client.converse(modelId=SONNET, messages=says("hello"))

        client = boto3.Session().client("bedrock-runtime", region_name=REGION, endpoint_url=url, verify=PEM)
        reply = await asyncio.to_thread(use, client, converse)
    assert reply["output"]["message"]["content"] == [{"text": "hello"}]


async def test_a_signature_is_good_behind_a_proxy_that_keeps_the_host():
    async with World() as world, behind_tls(world.url) as url:
        pair = await new_pair(world)
        client = client_of(url, pair, verify=PEM)
        reply = await asyncio.to_thread(
            use, client, lambda client: client.converse(modelId=ARN, messages=says("hello"))
        )
    assert reply["stopReason"] == "end_turn"


PEM = str(Path(__file__).parents[1] / "unit" / "engines" / "localhost.pem")


@contextlib.asynccontextmanager
async def behind_tls(url: str) -> AsyncGenerator[str, None]:
    """The URL of a TLS proxy in front of `url`: boto3 sends a bearer token to no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    writers: list[asyncio.StreamWriter] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writers.extend((writer, to_writer))
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "MissingAuthenticationTokenException"),
        ({"authorization": "Bearer wrong"}, "UnrecognizedClientException"),
        ({"authorization": "AWS4-HMAC-SHA256 what"}, "IncompleteSignatureException"),
    ],
)
async def test_no_credential_and_a_wrong_one_are_403(headers: dict[str, str], name: str):
    async with World() as world:
        async with world.http.post(f"/model/{SONNET}/invoke", data=body(), headers=headers) as reply:
            told = await reply.json()
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (403, name)
    assert set(told) == {"message"}
    assert reply.headers["x-amzn-requestid"] == reply.headers["request-id"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": 5}', b'{"messages": [{"role": "user", "content": [{}]}]}'])
@pytest.mark.parametrize("operation", ["invoke", "converse", "converse-stream", "count-tokens"])
async def test_any_other_body_is_a_validation_exception(operation: str, body: bytes):
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with World() as world:
        async with world.http.post(f"/model/echo/{operation}", data=body, headers=headers) as reply:
            assert (reply.status, reply.headers["x-amzn-errortype"]) == (400, "ValidationException"), await reply.text()


@pytest.mark.parametrize("path", ["/model/echo%2Finvoke", "/model/echo/nothing", "/model/echo/invoke%2F"])
async def test_an_encoded_slash_parts_no_segments(path: str):
    async with World() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
        writer.write(head_bytes(2, path) + b"{}")
        assert (await reader.readline()).split()[1] == b"404"
        writer.close()


async def test_while_the_server_ends_it_says_so_in_awss_shape():
    async with World() as world:
        world.app.door.drain()
        with pytest.raises(ClientError) as caught:
            await with_boto(world, lambda client: client.invoke_model(modelId=SONNET, body=body()))
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"


async def test_anthropic_bedrock_answers_with_a_signature_and_with_a_key():
    async with World() as world:
        pair = await new_pair(world)
        signing = {"aws_access_key": pair.access_key_id, "aws_secret_key": pair.secret_access_key}
        for credentials in (signing, {"api_key": API_KEY}):
            given: Any = {"base_url": world.url, "aws_region": REGION, "max_retries": 0} | credentials
            async with AsyncAnthropicBedrock(**given) as client:
                message = await client.messages.create(**ask("hello", model=ARN))
                async with client.messages.stream(**ask("one two", model=SONNET)) as stream:
                    streamed = await stream.get_final_message()

            def ask_blocking(given: Any = given) -> tuple[Any, str]:
                with AnthropicBedrock(**given) as client:
                    message = client.messages.create(**ask("hello", model=ARN))
                    with client.messages.stream(**ask("one two", model=SONNET)) as stream:
                        return message, stream.get_final_text()

            blocking, text = await asyncio.to_thread(ask_blocking)
            assert text_of(message) == text_of(blocking) == "hello"
            assert text_of(streamed) == text == "one two"
            assert streamed.usage.output_tokens == 2


async def test_anthropic_bedrock_tells_each_error_by_its_class():
    async with World() as world:
        given: Any = {"base_url": world.url, "aws_region": REGION, "max_retries": 0}
        async with AsyncAnthropicBedrock(**given, api_key=API_KEY) as client:
            for model, kind in (("nobody", anthropic.NotFoundError), ("down", anthropic.ServiceUnavailableError)):
                with pytest.raises(kind):
                    await client.messages.create(**ask(model=model))
            with pytest.raises(anthropic.APIStatusError, match="internalServerException"):
                async with client.messages.stream(**ask(model="fail-3")) as stream:
                    await stream.get_final_message()
        async with AsyncAnthropicBedrock(**given, api_key="wrong") as client:
            with pytest.raises(anthropic.PermissionDeniedError):
                await client.messages.create(**ask())


async def read_until(content: aiohttp.StreamReader, words: bytes) -> bytes:
    """What comes up to the frame that holds `words`."""
    raw = b""
    async with asyncio.timeout(5):
        while words not in raw:
            raw += await content.readany()
    return raw


async def test_a_silent_invoke_is_pinged_and_a_silent_converse_is_not():
    engine, clock = ScriptedEngine(), ManualClock()
    key = {"x-api-key": API_KEY}
    async with World(engine, clock) as world:
        async with (
            world.http.post("/model/scripted/invoke-with-response-stream", data=body(), headers=key) as invoke,
            world.http.post("/model/scripted/converse-stream", json={"messages": says("a")}, headers=key) as converse,
        ):
            await read_until(invoke.content, b"chunk")
            await read_until(converse.content, b"messageStart")
            clock.advance(10.1)
            ping = base64.b64encode(b'{"type": "ping"}')
            assert ping in await read_until(invoke.content, b"chunk")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await converse.content.readany()
            end = [Piece("", 1, stop=Stop("end"))]
            engine.feed(end, end)
            assert b"metadata" in await converse.content.read()
            assert await invoke.content.read()


@pytest.mark.parametrize("path", ["invoke", "invoke-with-response-stream", "converse", "converse-stream"])
async def test_a_client_that_leaves_ends_the_engines_work(path: str):
    engine = ScriptedEngine()
    given = json.dumps({"messages": says("a")}) if path.startswith("converse") else body()
    async with World(engine) as world:
        calling = asyncio.ensure_future(
            world.http.post(f"/model/scripted/{path}", data=given, headers={"x-api-key": API_KEY})
        )
        await engine.started.wait()
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await calling).close()
        async with asyncio.timeout(2):
            await engine.closed.wait()


class CutServer:
    """Answers any request with the first `size` bytes of an event stream, and closes."""

    def __init__(self, raw: bytes, size: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self._reply = head + b"%x\r\n" % len(raw) + raw[:size]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> CutServer:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self._reply)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)


def test_a_stream_cut_at_any_byte_never_hangs_the_client():
    raw = eventstream.encode([TextDelta(0, "hello"), MessageStop()], dict)
    client_pair = Pair("ANTAEXAMPLEEXAMPLE00", "x" * 40)
    for size in [*range(0, len(raw), 23), len(raw) - 1]:
        with CutServer(raw, size) as server:
            with contextlib.closing(client_of(server.url, client_pair)) as client:
                response = client.invoke_model_with_response_stream(modelId="echo", body=body())
                with pytest.raises(ProtocolError):  # told at once, not after a timeout
                    use(response["body"], list)


GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "bedrock.md"


@pytest.mark.parametrize("block", [block.text for block in blocks(GUIDE, "python test")], ids=["boto3", "sdk"])
async def test_the_guides_examples_work_with_its_variables_alone(block: str):
    async with World() as world:
        pair = await new_pair(world)
        environment = {
            "AWS_ACCESS_KEY_ID": pair.access_key_id,
            "AWS_SECRET_ACCESS_KEY": pair.secret_access_key,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": world.url,
            "ANTHROPIC_BEDROCK_BASE_URL": world.url,
            "AWS_DEFAULT_REGION": REGION,
        }
        assert all(name in GUIDE.read_text() for name in environment)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", block, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, complaints = await asyncio.wait_for(program.communicate(), 40)
    assert printed.decode().strip() == "Name three rivers.", complaints.decode()
