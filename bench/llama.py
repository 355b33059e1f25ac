"""The bare llama.cpp server of the wheel: `python -m bench.llama PORT MODEL.gguf`, set up as the gateway's own engine is."""
