"""The process that runs the built-in model: `python -m rivermouth.providers._server`, started by `_process`.

    stdin: one line of JSON (the parameters, the key among them) · … · end of file: end at once
    stdout: one line, the address, as soon as the model answers

It ends with its parent, however that ends, because the system closes the pipe then. SIGINT and SIGTERM, which terminals and
service managers send to every process of a group, are left to the parent, which may still have answers to finish.
"""

import os
import signal
import sys
import threading
from typing import BinaryIO

import msgspec
import xllamacpp

from rivermouth.providers._process import Parameters


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parameters = msgspec.json.decode(sys.stdin.buffer.readline(), type=Parameters)
    watch = threading.Thread(target=end_with_parent, args=(sys.stdin.buffer,))
    watch.start()
    try:
        server = xllamacpp.Server(common_params(parameters))
    except RuntimeError:
        os._exit(1)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    watch.join()


def end_with_parent(pipe: BinaryIO) -> None:
    """Wait for the end of file, then end this process without waiting for the answers under way."""
    pipe.read()
    os._exit(0)


def common_params(parameters: Parameters) -> xllamacpp.CommonParams:
    """llama.cpp's parameters: a server for this machine's loopback only, on a port that the system chooses."""
    params = xllamacpp.CommonParams()
    params.model.path = parameters.file
    params.model_alias = {parameters.name}
    params.api_keys = [parameters.key]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = parameters.parallel
    params.n_ctx = parameters.parallel * parameters.context_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = parameters.threads
    params.use_jinja = params.cont_batching = params.endpoint_slots = True
    params.ui = params.ctx_shift = params.fit_params = False
    params.offline = True
    params.cache_ram_mib = 256  # prompts kept between answers; llama.cpp's own default is 8 GiB
    params.verbosity = 1  # errors
    return params


if __name__ == "__main__":
    main()
