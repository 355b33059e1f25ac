"""Import rules that the import linter cannot say."""

import ast
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[3]
FEATURES = ROOT / "src" / "antiphon" / "features"

# Imports every module of the package while the environment, threads, processes and sockets are watched.
WATCHED_IMPORT = """
import importlib, os, pkgutil, sys

def watch(key):
    frame = sys._getframe(2)
    while frame and "importlib" not in frame.f_code.co_filename and not key.startswith("PYDANTIC_"):
        if "/antiphon/" in frame.f_code.co_filename:
            sys.exit(f"{frame.f_code.co_filename}:{frame.f_lineno} reads {key} from the environment")
        frame = frame.f_back

class Watched(dict):
    def __getitem__(self, key):
        watch(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        watch(key)
        return super().get(key, default)
    def items(self):
        watch("everything")
        return super().items()

def hook(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "_thread.start_new_thread"):
        sys.exit(f"importing causes {event}")

os.environ = Watched(os.environ)
os.getenv = os.environ.get
sys.addaudithook(hook)
import antiphon
for module in pkgutil.walk_packages(antiphon.__path__, "antiphon."):
    if not module.name.endswith(("__main__", "migrations.env")):  # what is run, and not imported
        importlib.import_module(module.name)
"""

# Starts the server, and says when it ends how often it has looked for garbage, and what it has imported.
WATCHED_START = """
import atexit, gc, json, sys
from antiphon.cli import main

looks = []
gc.callbacks.append(lambda phase, _: looks.append(phase))
atexit.register(lambda: print(json.dumps([len(looks), *sys.modules]), flush=True))
main()
"""
NEEDED_LATER = (
    *("alembic", "asyncpg", "cryptography", "huggingface_hub", "jsonschema", "jwt", "opentelemetry", "PIL"),
    *("pypdfium2", "referencing", "rich", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "xllamacpp"),
    *("antiphon.engines.tune", "antiphon.facades.bedrock.shapes", "antiphon.store.care"),
)


def test_importing_has_no_side_effect():
    done = subprocess.run([sys.executable, "-W", "error", "-c", WATCHED_IMPORT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_start_imports_and_does_only_what_its_first_answer_needs(tmp_path: Path):
    serve = [sys.executable, "-c", WATCHED_START, "serve", "--fake", "--port", "0", "--data-dir", str(tmp_path)]
    environment = os.environ | {"ANTIPHON_API_KEY": "mine", "ANTIPHON_ADMIN_KEY": "mine too"}
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        ready = next(line for line in process.stdout if line.startswith("ready: "))
        assert answer_of(ready.split()[1]) == "hi"
        process.send_signal(signal.SIGTERM)
        num_looks, *modules = json.loads(process.stdout.read().splitlines()[-1])
    assert [name for name in modules if name.startswith(NEEDED_LATER)] == []
    assert num_looks == 0


def answer_of(url: str) -> str:
    body = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": "mine", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)["content"][0]["text"]


def test_no_feature_imports_another_features_store():
    for path in FEATURES.rglob("*.py"):
        feature = path.relative_to(FEATURES).parts[0]
        for module in imported(path):
            prefix, _, rest = module.partition("antiphon.features.")
            other, _, inner = rest.partition(".")
            is_foreign_store = not prefix and inner.split(".")[0] == "store" and other != feature
            assert not is_foreign_store, f"{path} imports {module}: ask that feature's service"


def imported(path: Path) -> set[str]:
    """Every module that `path` names in an import; `from a import b` may mean a.b, so it counts as both."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules
