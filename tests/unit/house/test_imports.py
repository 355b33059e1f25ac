"""Import rules that the import linter cannot say."""

import ast
import subprocess
import sys
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


def test_importing_has_no_side_effect():
    done = subprocess.run([sys.executable, "-W", "error", "-c", WATCHED_IMPORT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
