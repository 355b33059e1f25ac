"""LiteLLM's proxy in front of the mock, in an environment that is thrown away with everything in it."""

import secrets
import subprocess
import sys
from pathlib import Path

from bench.processes import GATEWAY_CORE, KEY, Child, Stage, free_port

_REQUIREMENT = "litellm[proxy]>=1.93"
_CONFIG = """\
model_list:
  - model_name: mock
    litellm_params: {{model: hosted_vllm/mock, api_base: {url}/v1, api_key: {key}}}
general_settings: {{master_key: {master}}}
"""


def start_litellm(stage: Stage, mock: Child) -> Child:
    folder = _environment(stage.folder / "litellm")
    config = stage.folder / "litellm.yaml"
    config.write_text(_CONFIG.format(url=mock.url, key=secrets.token_hex(16), master=KEY))
    port = free_port()
    command = [str(folder / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return stage.start("litellm", [*command, "--num_workers", "1", "--telemetry", "False"], port, core=GATEWAY_CORE)


def _environment(folder: Path) -> Path:
    print(f"bench: installing {_REQUIREMENT} into {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, _REQUIREMENT], check=True)
    return folder
