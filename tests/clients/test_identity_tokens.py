"""Identity tokens as Google signs them, in place of a key: who has none that is good is not let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import jwt
import pytest
from anthropic.lib.vertex import AsyncAnthropicVertex
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from antiphon.core.errors import OperatorError
from antiphon.settings import IdentityTokens
from antiphon.store.accounts import OPERATOR
from antiphon.web.identity import Identities
from tests.fixtures.aws import new_pair
from tests.fixtures.world import API_KEY, World, ask, text_of

AUDIENCE = "https://antiphon.example.com"
ISSUER = "https://accounts.google.com"
APP = "1160123456789"
MAIL = "app@project-1.iam.gserviceaccount.com"
PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "other": rsa.generate_private_key(65537, 2048),
}
WAYS = {"rsa": "RS256", "ec": "ES256"}


def listed(name: str) -> dict[str, Any]:
    """The public key of `PRIVATE[name]`, as a key set lists it."""
    public = PRIVATE[name].public_key()
    found = ECAlgorithm.to_jwk(public) if name == "ec" else RSAAlgorithm.to_jwk(public)
    return json.loads(found) | {"kid": name, "use": "sig", "alg": WAYS.get(name, "RS256")}


def write_keys(path: Path, *names: str) -> Path:
    path.write_text(json.dumps({"keys": [listed(name) for name in names]}))
    return path


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": APP, "iat": now, "exp": now + 3600} | changes
    return {name: value for name, value in whole.items() if value is not None}


def token(key: str = "rsa", *, way: str | None = None, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    given = {"kid": key} | (headers or {})
    return jwt.encode(claims(**changes), PRIVATE[key], algorithm=way or WAYS.get(key, "RS256"), headers=given)


def unsigned(header: dict[str, Any], signature: str = "", **changes: Any) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims(**changes))
    )
    return ".".join([*parts, signature])


def with_the_public_key_as_a_secret() -> str:
    """The old trick: a verifier that believes the header takes the public key for a shared secret."""
    secret = PRIVATE["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    said = unsigned({"alg": "HS256", "kid": "rsa"}).rstrip(".")
    signature = hmac.new(secret, said.encode(), hashlib.sha256).digest()
    return f"{said}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def changed(part: int) -> str:
    """A good token with one part of another good one."""
    parts, others = token().split("."), token(sub="someone-else").split(".")
    parts[part] = others[part]
    return ".".join(parts)


@asynccontextmanager
async def world_of(folder: Path, **settings: Any) -> AsyncGenerator[World]:
    """A server that takes tokens; APP and MAIL speak for a key of their own."""
    keys = write_keys(folder / "keys.json", "rsa", "ec")
    tokens = IdentityTokens(keys=keys, audience=AUDIENCE, callers={"placeholder": "nobody"})
    async with World(identity_tokens=tokens, **settings) as world:
        taken = world.app.settings.identity_tokens
        assert taken
        pair = await new_pair(world)
        taken.callers.update({APP: pair.key_id, MAIL: pair.key_id, "gone": "apikey_gone"})
        await world.app.directory.refresh()
        yield world


def client_of(world: World, credential: str) -> AsyncAnthropicVertex:
    return AsyncAnthropicVertex(
        base_url=f"{world.url}/v1", project_id="p-1", region="global", access_token=credential, max_retries=0
    )


GOOD: dict[str, Callable[[], str]] = {
    "RS256": token,
    "ES256": lambda: token("ec"),
    "by a verified address": lambda: token(sub="1", email=MAIL, email_verified=True),
    "Google's other name": lambda: token(iss="accounts.google.com"),
    "one of several audiences": lambda: token(aud=["else", AUDIENCE]),
    "just expired, by a clock that is a little slow": lambda: token(exp=int(time.time()) - 5),
}


@pytest.mark.parametrize("made", GOOD.values(), ids=list(GOOD))
async def test_a_good_token_is_a_credential(made: Callable[[], str], tmp_path: Path):
    async with world_of(tmp_path) as world, client_of(world, made()) as client:
        message = await client.messages.create(**ask("hello there"))
        assert text_of(message) == "hello there"


FORGED: dict[str, Callable[[], str]] = {
    "none at all": lambda: unsigned({"alg": "none", "kid": "rsa"}),
    "None": lambda: unsigned({"alg": "None", "kid": "rsa"}),
    "no algorithm": lambda: unsigned({"kid": "rsa"}, "AAAA"),
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "the public key as a secret": with_the_public_key_as_a_secret,
    "another algorithm": lambda: token(way="RS512"),
    "another padding": lambda: token(way="PS256"),
    "signed by another": lambda: token("other", headers={"kid": "rsa"}),
    "a key that is none of the set": lambda: token("other"),
    "no key named": lambda: token(headers={"kid": ""}),
    "a key of another kind": lambda: token(headers={"kid": "ec"}),
    "its own key in the header": lambda: token("other", headers={"kid": "rsa", "jwk": listed("other")}),
    "a key elsewhere": lambda: token("other", headers={"kid": "rsa", "jku": "http://127.0.0.1:9/keys"}),
    "other claims": lambda: changed(1),
    "another signature": lambda: changed(2),
    "expired": lambda: token(exp=int(time.time()) - 60),
    "never expiring": lambda: token(exp=None),
    "an expiry in words": lambda: unsigned({"alg": "RS256", "kid": "rsa"}, "AAAA", exp="tomorrow"),
    "not yet": lambda: token(nbf=int(time.time()) + 600),
    "issued in the future": lambda: token(iat=int(time.time()) + 600),
    "for another audience": lambda: token(aud="https://elsewhere.example.com"),
    "for no audience": lambda: token(aud=None),
    "of another issuer": lambda: token(iss="https://accounts.example.com"),
    "of no issuer": lambda: token(iss=None),
    "of nobody": lambda: token(sub=None),
    "of a stranger": lambda: token(sub="2"),
    "an address that nobody has verified": lambda: token(sub="2", email=MAIL, email_verified=False),
    "an address verified in words": lambda: token(sub="2", email=MAIL, email_verified="true"),
    "for a key that is gone": lambda: token(sub="gone"),
    "broken": lambda: token()[:-30],
    "no token": lambda: "eyJ.eyJ.x",
}


async def test_no_forged_token_is_let_in(tmp_path: Path):
    assert len(FORGED) >= 30
    async with world_of(tmp_path) as world:
        for name, made in FORGED.items():
            async with client_of(world, made()) as client:
                with pytest.raises(anthropic.AuthenticationError) as caught:
                    await client.messages.create(**ask())
            told: Any = caught.value.body
            assert told["error"]["status"] == "UNAUTHENTICATED", name


async def test_a_token_may_do_what_its_key_may(tmp_path: Path):
    async with world_of(tmp_path) as world:
        settings = world.app.settings.identity_tokens
        assert settings
        limited = await new_pair(world, allowed_models=("lorem",))
        settings.callers["limited"] = limited.key_id
        await world.app.directory.refresh()
        async with client_of(world, token(sub="limited")) as client:
            with pytest.raises(anthropic.PermissionDeniedError):
                await client.messages.create(**ask(model="echo"))
        async with client_of(world, token()) as client:
            assert await client.messages.create(**ask())
            async with world.app.accounts.change(world.app.directory.home, OPERATOR) as change:
                await change.connection.exec_driver_sql(
                    "UPDATE api_keys SET status = 'inactive' WHERE id = ?", (settings.callers[APP],)
                )
            await world.app.directory.refresh()
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(**ask())
        status, _ = await world.post("/v1/messages", ask(), **{"x-api-key": API_KEY})
    assert status == 200


async def test_no_token_opens_the_admin_api(tmp_path: Path):
    async with world_of(tmp_path) as world:
        headers = {"authorization": f"Bearer {token()}", "anthropic-version": "2023-06-01"}
        async with world.http.get("/v1/organizations/workspaces", headers=headers) as reply:
            assert reply.status == 401


async def test_without_the_setting_no_token_is_taken():
    async with World() as world, client_of(world, token()) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**ask())


def test_a_key_set_that_has_changed_is_read_again(tmp_path: Path):
    path = write_keys(tmp_path / "keys.json", "rsa")
    found = Identities(IdentityTokens(keys=path, audience=AUDIENCE, callers={APP: "apikey_1"}))
    now = time.time()
    assert found.key_id_of(token(), now)
    assert found.key_id_of(token("ec"), now) is None
    write_keys(path, "ec")
    os.utime(path, (now + 10, now + 10))
    assert found.key_id_of(token("ec"), now)
    assert found.key_id_of(token(), now) is None
    path.write_text("<html>")
    assert found.key_id_of(token("other"), now) is None
    assert found.key_id_of(token("ec"), now), "what was read before is kept"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("<html>", "no JSON Web Key Set"),
        ('{"keys": [1]}', "no JSON Web Key Set"),
        ('{"keys": [{"kty": "RSA", "kid": "a"}]}', "no JSON Web Key Set"),
        ('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}', "holds no public key"),
    ],
)
def test_a_key_set_that_cannot_do_ends_the_start_with_a_sentence(tmp_path: Path, text: str | None, words: str):
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(OperatorError, match=words):
        Identities(IdentityTokens(keys=path, audience=AUDIENCE, callers={}))
